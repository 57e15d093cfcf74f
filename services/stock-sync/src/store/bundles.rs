//! `bundles`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::pg::Pg;
use diesel::sql_types::{Array, BigInt, Text};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper, sql_query,
};
use diesel_async::RunQueryDsl;
use domain::Sku;

use crate::domain::book::Component;
use crate::store::schema::bundles;

/// One component of a bundle.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = bundles, check_for_backend(Pg))]
pub(crate) struct BundleRow {
    pub(crate) sku: String,
    pub(crate) component: String,
    pub(crate) quantity: i64,
}

/// The components of those of these SKUs that are bundles.
pub(crate) async fn of(
    conn: &mut pg::Connection,
    skus: &BTreeSet<&str>,
) -> Result<HashMap<Sku, Vec<Component>>, pg::Error> {
    let rows: Vec<BundleRow> = bundles::table
        .filter(bundles::sku.eq_any(skus.iter().copied()))
        .order((bundles::sku, bundles::component))
        .select(BundleRow::as_select())
        .load(conn)
        .await?;
    let mut bundles: HashMap<Sku, Vec<Component>> = HashMap::new();
    for row in rows {
        let corrupt =
            |column| pg::Error::corrupt("bundles", format!("{}/{}", row.sku, row.component), column);
        let sku = Sku::parse(&row.sku).map_err(|_error| corrupt("sku"))?;
        let component = Sku::parse(&row.component).map_err(|_error| corrupt("component"))?;
        bundles.entry(sku).or_default().push(Component { sku: component, quantity: row.quantity });
    }
    Ok(bundles)
}

/// The components of so many bundles, in the order of their SKUs, after one.
pub(crate) async fn list(
    conn: &mut pg::Connection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<BundleRow>, pg::Error> {
    let skus: Vec<String> = bundles::table
        .filter(bundles::sku.gt(after.unwrap_or_default()))
        .order(bundles::sku)
        .select(bundles::sku)
        .distinct()
        .limit(limit)
        .load(conn)
        .await?;
    let listed = bundles::table
        .filter(bundles::sku.eq_any(skus))
        .order((bundles::sku, bundles::component))
        .select(BundleRow::as_select())
        .load(conn)
        .await?;
    Ok(listed)
}

/// Waits for those who change bundles, and keeps others from it; deductions go on.
pub(crate) async fn lock(conn: &mut pg::Connection) -> Result<(), pg::Error> {
    sql_query("LOCK TABLE bundles IN SHARE ROW EXCLUSIVE MODE").execute(conn).await?;
    Ok(())
}

/// Removes bundles. Returns how many components they had.
pub(crate) async fn delete(conn: &mut pg::Connection, skus: &[&str]) -> Result<usize, pg::Error> {
    Ok(diesel::delete(bundles::table.filter(bundles::sku.eq_any(skus))).execute(conn).await?)
}

/// Adds bundles that are not there.
pub(crate) async fn insert(
    conn: &mut pg::Connection,
    wanted: &BTreeMap<Sku, Vec<Component>>,
) -> Result<(), pg::Error> {
    let rows: Vec<(&Sku, &Component)> =
        wanted.iter().flat_map(|(sku, components)| components.iter().map(move |it| (sku, it))).collect();
    sql_query("INSERT INTO bundles (sku, component, quantity) SELECT * FROM unnest($1, $2, $3)")
        .bind::<Array<Text>, _>(rows.iter().map(|(sku, _)| sku.as_str()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(rows.iter().map(|(_, it)| it.sku.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(rows.iter().map(|(_, it)| it.quantity).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

/// A SKU that is both a bundle and a component of one.
pub(crate) async fn first_nested(conn: &mut pg::Connection) -> Result<Option<String>, pg::Error> {
    let part = diesel::alias!(bundles as part);
    let components = part.select(part.field(bundles::component));
    let nested = bundles::table
        .filter(bundles::sku.eq_any(components))
        .order(bundles::sku)
        .select(bundles::sku)
        .first(conn)
        .await;
    Ok(nested.optional()?)
}
