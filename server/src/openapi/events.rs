//! How streams are described: as the events that `text/event-stream` carries, each with JSON as its data.

use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// The events of a streamed answer.
#[derive(Debug)]
pub struct AskEvents;

/// The events of a job that is followed.
#[derive(Debug)]
pub struct JobEvents;

/// The events of a streamed chat completion.
#[derive(Debug)]
pub struct ChatEvents;

impl PartialSchema for AskEvents {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .description(Some("An event of a streamed answer."))
            .item(event("retrieved", "Retrieved", "First."))
            .item(event("delta", "Delta", "Any number."))
            .item(event("completed", "Answer", "Last."))
            .item(event("failed", "Problem", "Last, instead."))
            .into()
    }
}

impl PartialSchema for JobEvents {
    fn schema() -> RefOr<Schema> {
        event("job", "Job", "The job as it is now.").into()
    }
}

impl PartialSchema for ChatEvents {
    fn schema() -> RefOr<Schema> {
        let end = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["[DONE]"]));
        let end = ObjectBuilder::new()
            .description(Some("Last."))
            .property("data", end)
            .required("data");
        let chunk = ObjectBuilder::new()
            .description(Some("Any number."))
            .property("data", json("ChatChunk"))
            .required("data");
        OneOfBuilder::new()
            .description(Some("An event of a streamed chat completion."))
            .item(chunk)
            .item(end)
            .into()
    }
}

impl ToSchema for AskEvents {}
impl ToSchema for JobEvents {}
impl ToSchema for ChatEvents {}

/// Returns an event of this name, whose data is the schema's.
fn event(name: &str, schema: &str, description: &str) -> Object {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some([name]));
    ObjectBuilder::new()
        .description(Some(description))
        .property("event", name)
        .property("data", json(schema))
        .required("event")
        .required("data")
        .build()
}

/// Returns a string that is the schema's JSON.
fn json(schema: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .content_media_type("application/json")
        .content_schema(Some(Ref::from_schema_name(schema)))
        .build()
}
