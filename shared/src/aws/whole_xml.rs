//! Answers in XML that end too early are no answers.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Lets a call fail whose answer in XML ends before its root element does. The
/// SDK's parser takes the part that is there for everything, and a listing would
/// be complete that is not.
#[derive(Clone, Copy, Debug)]
pub struct WholeXml;

/// An answer that ends before its root element does.
#[derive(Debug, thiserror::Error)]
#[error("the answer ends too early, after {bytes} bytes")]
struct CutShort {
    bytes: usize,
}

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
        let body = context.response().body().bytes().unwrap_or_default();
        if is_whole(body) {
            Ok(())
        } else {
            Err(CutShort { bytes: body.len() }.into())
        }
    }
}

/// Whether a text ends with the end of its root element. What is empty or no XML is
/// for others to judge.
fn is_whole(body: &[u8]) -> bool {
    let text = body.trim_ascii();
    let after_prolog = match text.strip_prefix(b"<?xml") {
        Some(prolog) => match prolog.windows(2).position(|two| two == b"?>") {
            Some(end) => prolog[end + 2..].trim_ascii_start(),
            None => return false,
        },
        None => text,
    };
    let Some(root) = after_prolog.strip_prefix(b"<") else {
        // A prolog without anything after it is cut short as well.
        return text.len() == after_prolog.len();
    };
    let ends_name = |byte: &u8| byte.is_ascii_whitespace() || b"/>".contains(byte);
    let Some(end) = root.iter().position(ends_name) else {
        return false;
    };
    let name = &root[..end];
    let closed = text
        .strip_suffix(b">")
        .and_then(|text| text.trim_ascii_end().strip_suffix(name))
        .is_some_and(|text| text.ends_with(b"</"));
    let is_one_empty_element = || !root[..root.len() - 1].contains(&b'>') && root.ends_with(b"/>");
    closed || is_one_empty_element()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_root_element_has_ended() {
        for whole in [
            "",
            "\n",
            "not XML",
            "<a/>",
            "<a xmlns='b'/>",
            "<a></a>",
            "<?xml version=\"1.0\"?>\n<a xmlns=\"b\"><c>1</c></a >\n",
        ] {
            assert!(is_whole(whole.as_bytes()), "{whole}");
        }
    }

    #[test]
    fn no_part_of_an_answer_is_whole() {
        let whole = "<?xml version=\"1.0\"?>\n<a:b c='d'><e><b/>1</e><b>2</b></a:b>";
        for end in 1..whole.len() {
            let part = &whole[..end];
            assert!(!is_whole(part.as_bytes()), "{part}");
        }
        assert!(is_whole(whole.as_bytes()));
    }
}
