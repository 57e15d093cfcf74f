//! Types of parameters.

use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Parameter, PathItem};
use utoipa::openapi::schema::{Schema, SchemaType, Type};

/// Removes `null` from the types of all parameters. utoipa adds it for an `Option` in a handler's list of parameters,
/// but a URL or a header cannot express it: a parameter without a value is absent.
pub(super) fn remove_null(item: &mut PathItem) {
    let PathItem { get, put, post, delete, patch, .. } = item;
    for operation in [get, put, post, delete, patch].into_iter().flatten() {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(Parameter { schema: Some(RefOr::T(Schema::Object(object))), .. }) = parameter {
                remove_from_types(&mut object.schema_type);
            }
        }
    }
}

fn remove_from_types(types: &mut SchemaType) {
    if let SchemaType::Array(several) = types {
        several.retain(|kind| *kind != Type::Null);
        if let [only] = several.as_slice() {
            *types = SchemaType::Type(only.clone());
        }
    }
}
