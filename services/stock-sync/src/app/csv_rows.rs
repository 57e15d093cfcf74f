//! Rows of a CSV file under a header.

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowError {
    /// 0 for the header; the first row below it is 1.
    pub(crate) row: usize,
    pub(crate) column: &'static str,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Reads the row of a number, whose fields are found by column; a field that is empty is absent.
pub(crate) type ReadRow<T> = for<'a> fn(usize, &dyn Fn(&str) -> Option<&'a str>) -> Result<T, Vec<RowError>>;

/// Reads a file: a header that names known columns, in any order, the required ones among them; then rows; commas or semicolons
/// between. Returns what can be read of it, and what cannot.
pub(crate) fn read<T>(
    text: &str,
    (known, required): (&[&'static str], &[&'static str]),
    row: ReadRow<T>,
) -> (Vec<T>, Vec<RowError>) {
    let first = text.lines().next().unwrap_or_default();
    let delimiter = if first.contains(';') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut errors = Vec::new();
    let header = reader.headers().cloned().unwrap_or_default();
    let is_known = |name: &str| known.iter().any(|it| it.eq_ignore_ascii_case(name));
    for name in header.iter().filter(|name| !is_known(name)) {
        let message = format!("{name:?} is no column: write {}", known.join(", "));
        errors.push(RowError { row: 0, column: "header", code: "unknown_column", message });
    }
    let at = |name: &str| header.iter().position(|it| it.eq_ignore_ascii_case(name));
    for name in required.iter().filter(|name| at(name).is_none()) {
        let message = format!("there is no column {name}");
        errors.push(RowError { row: 0, column: "header", code: "missing_column", message });
    }
    if !errors.is_empty() {
        return (Vec::new(), errors);
    }
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let number = index + 1;
        let wrong = |column, code, message: String| RowError { row: number, column, code, message };
        let record = match record {
            Ok(record) if record.len() > header.len() => {
                errors.push(wrong("row", "too_many_fields", "it has more fields than the header".to_owned()));
                continue;
            }
            Ok(record) => record,
            Err(error) => {
                errors.push(wrong("row", "unreadable", error.to_string()));
                continue;
            }
        };
        match row(number, &|name| at(name).and_then(|at| record.get(at)).filter(|text| !text.is_empty())) {
            Ok(row) => rows.push(row),
            Err(found) => errors.extend(found),
        }
    }
    (rows, errors)
}
