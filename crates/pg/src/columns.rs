//! Sets of rows in one statement.

/// A set of rows as one array for each column. `unnest` makes rows of the arrays again.
///
/// A statement that takes arrays has the same text for any number of rows, so it can be prepared ([`crate::prepared`]).
///
/// ```
/// use diesel::sql_query;
/// use diesel::sql_types::{Array, Int8, Text};
/// use pg::Columns;
///
/// struct Level {
///     sku: String,
///     on_hand: i64,
/// }
///
/// let levels = [Level { sku: "A".to_owned(), on_hand: 3 }];
/// let levels = Columns(&levels);
/// let insert = sql_query("INSERT INTO levels (sku, on_hand) SELECT * FROM unnest($1, $2)")
///     .bind::<Array<Text>, _>(levels.array(|it| it.sku.as_str()))
///     .bind::<Array<Int8>, _>(levels.array(|it| it.on_hand));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a, R>(pub &'a [R]);

impl<'a, R> Columns<'a, R> {
    /// The values of one column, in the order of the rows.
    pub fn array<T>(&self, value: impl Fn(&'a R) -> T) -> Vec<T> {
        self.0.iter().map(value).collect()
    }
}
