//! The contracts of the formats. Their columns are those of `orders.yaml`, so that the rows of all formats are equal.

use crate::generate::Form;

const ORDERS: &str = include_str!("orders.yaml");

/// The contract that reads the events of a format.
pub(crate) fn of(form: Form) -> String {
    let source = "{ format: debezium, table: public.orders }";
    let id = "{ name: id, type: bigint }";
    match form {
        Form::Plain | Form::Enveloped => ORDERS.to_owned(),
        Form::Mysql => ORDERS.replace(source, "{ format: debezium, table: shop.orders }"),
        Form::Mongodb => ORDERS
            .replace(source, "{ format: debezium-mongodb, table: shop.orders }")
            .replace(id, "{ name: id, from: _id, type: bigint }"),
        Form::Dynamodb => ORDERS.replace(source, "{ format: dynamodb, table: orders }"),
    }
}
