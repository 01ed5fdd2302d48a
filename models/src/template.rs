//! Chat templates: Jinja as the models' authors write it for Python.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, context};
use serde::Serialize as _;

use crate::{Message, Result, Role};

const NAME: &str = "chat";

/// A compiled chat template with the special tokens it may mention.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// Compiles `source`.
    ///
    /// # Errors
    /// [`crate::Error::Template`] when it is no valid template.
    pub(crate) fn new(source: String, bos_token: String, eos_token: String) -> Result<Self> {
        let mut environment = Environment::new();
        // What transformers sets before it renders a chat template.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?;
        environment.set_syntax(syntax);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", tojson);
        environment.add_template_owned(NAME, source)?;
        Ok(Self {
            environment,
            bos_token,
            eos_token,
        })
    }

    /// Renders the conversation up to where the assistant speaks next.
    ///
    /// # Errors
    /// [`crate::Error::Template`] when the template refuses the conversation, e.g. an unknown role.
    pub(crate) fn render(&self, messages: &[Message]) -> Result<String> {
        let template = self.environment.get_template(NAME)?;
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => role(message.role), content => message.content.as_str() })
            .collect();
        Ok(template.render(context! {
            messages => messages,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            add_generation_prompt => true,
            // Models that can think aloud before they answer are asked not to: the thoughts would be
            // taken for the answer.
            enable_thinking => false,
        })?)
    }
}

fn raise_exception(message: &str) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(
        ErrorKind::InvalidOperation,
        message.to_owned(),
    ))
}

fn strftime_now(format: &str) -> std::result::Result<String, minijinja::Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it, which is what models saw in
/// training; the engine's own filter escapes for HTML, which is undone here.
fn tojson(value: &Value, options: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    let escaped =
        minijinja::filters::tojson(value, None, std::iter::empty::<(String, Value)>().collect())?;
    let failed = |error: serde_json::Error| {
        minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())
    };
    let json: serde_json::Value = serde_json::from_str(&escaped.to_string()).map_err(failed)?;
    let mut bytes = Vec::new();
    if let Some(indent) = indent {
        let spaces = " ".repeat(indent);
        let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
        json.serialize(&mut serde_json::Serializer::with_formatter(
            &mut bytes, formatter,
        ))
        .map_err(failed)?;
    } else {
        json.serialize(&mut serde_json::Serializer::with_formatter(
            &mut bytes,
            PythonFormatter,
        ))
        .map_err(failed)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Compact JSON with a space after commas and colons.
struct PythonFormatter;

impl serde_json::ser::Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn message(role: Role, content: &str) -> Message {
        Message {
            role,
            content: content.to_owned(),
        }
    }

    fn render(source: &str, messages: &[Message]) -> Result<String> {
        ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned())?.render(messages)
    }

    #[test]
    fn python_methods_blocks_and_tokens_work() {
        let source = "{{ bos_token }}{% for m in messages %}\n    {% if m['role'].startswith('us') %}\n\
                      [{{ m.content.strip() }}]{% endif %}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}";
        let rendered = render(
            source,
            &[message(Role::User, " a "), message(Role::Assistant, "b")],
        )
        .unwrap();
        assert_eq!(rendered, "<s>[a]>");
    }

    #[test]
    fn a_template_can_refuse() {
        let error = render("{{ raise_exception('no system role') }}", &[]).unwrap_err();
        assert!(error.to_string().contains("no system role"), "{error}");
    }

    #[test]
    fn json_is_written_as_python_does() {
        let source = "{{ {'a': [1, 2], 'b': '<日本>'} | tojson }}";
        assert_eq!(
            render(source, &[]).unwrap(),
            r#"{"a": [1, 2], "b": "<日本>"}"#
        );
        assert_eq!(
            render("{{ [1] | tojson(indent=2) }}", &[]).unwrap(),
            "[\n  1\n]"
        );
    }

    #[test]
    fn the_date_can_be_asked_for() {
        let year = render("{{ strftime_now('%Y') }}", &[]).unwrap();
        assert!(year.parse::<i32>().unwrap() >= 2026, "{year}");
    }
}
