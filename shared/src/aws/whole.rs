//! Answers in XML that break off.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Refuses an answer in XML that does not end with the end of its root element.
///
/// The SDK takes the end of a text for the end of every element that is open: a
/// list that breaks off would pass for all that there is. (An answer in JSON that
/// breaks off is an error by itself.) For clients of services that speak XML: RDS,
/// Elastic Load Balancing, S3.
#[derive(Clone, Copy, Debug)]
pub struct WholeXml;

impl Intercept for WholeXml {
    fn name(&self) -> &'static str {
        "WholeXml"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let is_xml = headers
            .get("content-type")
            .is_none_or(|content_type| content_type.contains("xml"));
        // An object of S3 is not read yet, and not ours to judge.
        let body = context.response().body().bytes().unwrap_or_default();
        match is_xml && breaks_off(body) {
            true => Err("the answer breaks off".into()),
            false => Ok(()),
        }
    }
}

/// Whether this begins like XML and does not end like it.
fn breaks_off(body: &[u8]) -> bool {
    let mut text = body.trim_ascii();
    while text.starts_with(b"<?") || text.starts_with(b"<!") {
        let end = text.iter().position(|byte| *byte == b'>');
        let Some(end) = end else { return true };
        text = text[end + 1..].trim_ascii_start();
    }
    let Some(root) = text.strip_prefix(b"<") else {
        return false;
    };
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/');
    let Some(end) = root.iter().position(is_end) else {
        return true;
    };
    let (name, rest) = root.split_at(end);
    let closed = text
        .strip_suffix(b">")
        .map(<[u8]>::trim_ascii_end)
        .and_then(|text| text.strip_suffix(name))
        .is_some_and(|text| text.ends_with(b"</"));
    let is_empty_element =
        rest.ends_with(b"/>") && rest.iter().filter(|byte| **byte == b'>').count() == 1;
    !(closed || is_empty_element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_breaks_off_anywhere_is_seen() {
        let whole = "<?xml version=\"1.0\"?>\n<Answer xmlns=\"a/b\"><List><It>1</It><It/></List>\
                     </Answer>\n";
        assert!(!breaks_off(whole.as_bytes()));
        // All of it but white space at its end is needed.
        let begins = whole.find("<Answer").unwrap();
        for end in begins + 1..whole.len() - 1 {
            assert!(breaks_off(&whole.as_bytes()[..end]), "{}", &whole[..end]);
        }
    }

    #[test]
    fn what_is_no_xml_or_empty_is_not_judged() {
        for whole in [
            "",
            "{\"a\": 1",
            "<Answer/>",
            "<Answer a=\"b\" />",
            "<A></A >",
            "  ",
        ] {
            assert!(!breaks_off(whole.as_bytes()), "{whole}");
        }
        for part in [
            "<A><A/>", "<A", "<A>", "<A/><", "<?xml", "<A></AB>", "<A></B>",
        ] {
            assert!(breaks_off(part.as_bytes()), "{part}");
        }
    }
}
