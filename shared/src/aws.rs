//! How Steward talks to AWS: one configuration for every client, and how an
//! SDK error is told apart and told whole.

mod meter;
mod pace;
mod roles;
mod whole;

use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;
use aws_smithy_async::future::pagination_stream::PaginationStream;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

pub use self::meter::Meter;
pub use self::pace::Pace;
pub use self::roles::{ActingAs, Roles, in_region};
pub use self::whole::WholeXml;

/// How often a call is tried in all. Throttles back off from one second,
/// doubling, with jitter (AWS SDKs reference, "Retry behavior").
const ATTEMPTS: u32 = 6;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(90);

/// The meter of this process: it counts what goes through [`http_client`],
/// whichever service, account or Region it is for.
pub fn meter() -> &'static Meter {
    static METER: LazyLock<Meter> = LazyLock::new(Meter::default);
    &METER
}

/// The HTTP client of every SDK client: TLS by rustls on ring, counted by
/// [`meter()`].
///
/// The SDK's default is aws-lc, which gathers CPU-jitter entropy at its first
/// handshake: 0.3 s at the CPU share of a 128 MB function.
pub fn http_client() -> SharedHttpClient {
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    meter().around(client)
}

/// The loader behind [`sdk_config`], for callers that add a profile or Region.
pub fn config_loader() -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
}

/// The one configuration that every client is built from: pinned behaviour
/// version, standard retries with jitter, timeouts, and the usual environment
/// and profile settings (`AWS_ENDPOINT_URL_<SERVICE>` included).
pub async fn sdk_config() -> SdkConfig {
    config_loader().load().await
}

/// The whole cause chain of an error in one line, without repeating a cause
/// that its parent already quotes.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !last.contains(&next) && !next.is_empty() {
            text.push_str(": ");
            text.push_str(&next);
        }
        last = next;
        cause = error.source();
    }
    text
}

/// An SDK error as a person reads it: AWS's code and message, or the whole
/// cause chain where no answer came.
pub fn explain(error: &(impl Error + ProvideErrorMetadata + 'static)) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => chain(error),
    }
}

/// What kind of answer an SDK error is, as far as callers branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A permission is missing.
    Denied,
    /// AWS asks to slow down, and went on asking through every retry.
    Throttled,
    /// The thing does not exist (any more).
    NotFound,
    /// Everything else.
    Other,
}

/// The code that AWS gave an error, such as `RepositoryNotFoundException`.
pub fn code(error: &impl ProvideErrorMetadata) -> Option<&str> {
    error.code()
}

/// Tells an SDK error apart by its code.
pub fn kind(error: &impl ProvideErrorMetadata) -> ErrorKind {
    let Some(code) = error.code() else {
        return ErrorKind::Other;
    };
    if code.contains("AccessDenied")
        || code == "UnauthorizedOperation"
        || code == "AuthorizationError"
    {
        ErrorKind::Denied
    } else if code.contains("Throttl")
        || code == "TooManyRequestsException"
        || code == "RequestLimitExceeded"
    {
        ErrorKind::Throttled
    } else if code.ends_with("NotFound")
        || code.ends_with("NotFoundException")
        || code.ends_with("NotFoundFault")
    {
        ErrorKind::NotFound
    } else {
        ErrorKind::Other
    }
}

/// Why a listing may not be all there is.
#[derive(Debug)]
pub enum Incomplete<E> {
    /// A page could not be read.
    Failed(E),
    /// A page came without its list. AWS sends an empty list when there is
    /// nothing, so that this is no answer at all.
    NoList,
    /// A page leads to one that has been read.
    NoEnd,
}

impl<E: Error + ProvideErrorMetadata + 'static> Incomplete<E> {
    /// See [`code`].
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Failed(error) => error.code(),
            Self::NoList | Self::NoEnd => None,
        }
    }

    /// See [`kind`].
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Failed(error) => kind(error),
            Self::NoList | Self::NoEnd => ErrorKind::Other,
        }
    }
}

impl<E: Error + ProvideErrorMetadata + 'static> std::fmt::Display for Incomplete<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(&explain(error)),
            Self::NoList => f.write_str("the answer has no list in it"),
            Self::NoEnd => f.write_str("the same page comes again and again"),
        }
    }
}

/// Every item of every page, and why they may not be all. `list` is a page's list and
/// the token of the next page: the SDK takes a token that comes twice in a row for the
/// end, and goes round for ever where two lead to each other.
pub async fn read_pages<P, T, K: PartialEq, E>(
    pages: PaginationStream<Result<P, E>>,
    list: impl Fn(P) -> (Option<Vec<T>>, Option<K>),
) -> (Vec<T>, Option<Incomplete<E>>) {
    read_all(None, pages, list).await
}

/// The same where many listings go on side by side: each page waits its turn.
pub async fn read_pages_at<P, T, K: PartialEq, E>(
    pace: &Pace,
    pages: PaginationStream<Result<P, E>>,
    list: impl Fn(P) -> (Option<Vec<T>>, Option<K>),
) -> (Vec<T>, Option<Incomplete<E>>) {
    read_all(Some(pace), pages, list).await
}

async fn read_all<P, T, K: PartialEq, E>(
    pace: Option<&Pace>,
    mut pages: PaginationStream<Result<P, E>>,
    list: impl Fn(P) -> (Option<Vec<T>>, Option<K>),
) -> (Vec<T>, Option<Incomplete<E>>) {
    let mut items = Vec::new();
    let mut tokens = Vec::new();
    loop {
        let page = match pace {
            Some(pace) => pace.call(pages.next()).await,
            None => pages.next().await,
        };
        match page.map(|page| page.map(&list)) {
            None => return (items, None),
            Some(Ok((Some(of_page), next))) => {
                items.extend(of_page);
                match next {
                    Some(next) if tokens.contains(&next) => {
                        return (items, Some(Incomplete::NoEnd));
                    }
                    next => tokens.extend(next),
                }
            }
            Some(Ok((None, _))) => return (items, Some(Incomplete::NoList)),
            Some(Err(error)) => return (items, Some(Incomplete::Failed(error))),
        }
    }
}

/// The objects of a page of a bucket and the token of the next, for [`read_pages`];
/// `None` when it does not say whether there are any. The list is left out when it is
/// empty, and the count is not (Amazon S3 API Reference, `ListObjectsV2`).
pub fn objects_of(page: ListObjectsV2Output) -> (Option<Vec<Object>>, Option<String>) {
    let next = page.next_continuation_token;
    if page.is_truncated == Some(true) && next.is_none() {
        return (None, next);
    }
    let objects = match page.contents {
        None if page.key_count != Some(0) => None,
        contents => Some(contents.unwrap_or_default()),
    };
    (objects, next)
}

/// [`read_pages`] for an operation without a paginator: `page` asks for the
/// page of a token, and tells its list and the next token.
pub async fn read_pages_by_token<T, E, P>(
    page: impl Fn(Option<String>) -> P,
) -> (Vec<T>, Option<Incomplete<E>>)
where
    P: Future<Output = Result<(Option<Vec<T>>, Option<String>), E>>,
{
    let mut items = Vec::new();
    let mut tokens: Vec<String> = Vec::new();
    loop {
        let (of_page, next) = match page(tokens.last().cloned()).await {
            Ok((Some(of_page), next)) => (of_page, next),
            Ok((None, _)) => return (items, Some(Incomplete::NoList)),
            Err(error) => return (items, Some(Incomplete::Failed(error))),
        };
        items.extend(of_page);
        match next.filter(|next| !next.is_empty()) {
            None => return (items, None),
            Some(next) if tokens.contains(&next) => return (items, Some(Incomplete::NoEnd)),
            Some(next) => tokens.push(next),
        }
    }
}

/// The identity behind the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 12 digits.
    pub account: String,
    /// Who is calling.
    pub arn: String,
}

/// An account or Region that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Neither environment nor profile names a Region.
    #[error("no Region is set: set AWS_REGION, or `region` in the AWS profile")]
    NoRegion,
    /// STS did not answer.
    #[error("sts:GetCallerIdentity failed: {0}")]
    GetCallerIdentity(String),
}

/// Who is calling (`sts:GetCallerIdentity`, which needs no permission).
///
/// # Errors
/// [`IdentityError::GetCallerIdentity`] with the whole cause chain.
pub async fn identity(config: &SdkConfig) -> Result<Identity, IdentityError> {
    let answer = aws_sdk_sts::Client::new(config)
        .get_caller_identity()
        .send()
        .await
        .map_err(|error| IdentityError::GetCallerIdentity(explain(&error)))?;
    Ok(Identity {
        account: answer.account().unwrap_or_default().to_owned(),
        arn: answer.arn().unwrap_or_default().to_owned(),
    })
}

/// The Region of a configuration.
///
/// # Errors
/// [`IdentityError::NoRegion`].
pub fn region(config: &SdkConfig) -> Result<String, IdentityError> {
    config
        .region()
        .map(ToString::to_string)
        .ok_or(IdentityError::NoRegion)
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Error;
    use aws_smithy_async::future::pagination_stream::fn_stream::FnStream;

    use super::*;

    /// Pages of one item each, with the tokens of the next ones, as an SDK gives them.
    fn pages(
        tokens: &'static [Option<&'static str>],
    ) -> PaginationStream<Result<Option<&'static str>, ListObjectsV2Error>> {
        PaginationStream::new(FnStream::new(move |page| {
            Box::pin(async move {
                for token in tokens {
                    if page.send(Ok(*token)).await.is_err() {
                        return;
                    }
                }
            })
        }))
    }

    /// The SDK ends at a token that comes twice in a row, and not at one that comes
    /// again later.
    #[tokio::test]
    async fn a_listing_that_comes_back_to_a_page_is_incomplete() {
        for (tokens, read, ends) in [
            (&[Some("a"), Some("b"), None][..], 3, true),
            (&[None], 1, true),
            (&[Some("a"), Some("")], 2, true),
            (&[Some("a"), Some("a")], 2, false),
            (
                &[Some("a"), Some("b"), Some("a"), Some("b"), None],
                3,
                false,
            ),
        ] {
            let list = |token| (Some(vec![()]), token);
            let (items, incomplete) = read_pages(pages(tokens), list).await;
            assert_eq!(items.len(), read, "{tokens:?}");
            let is_endless = matches!(incomplete, Some(Incomplete::NoEnd));
            assert_eq!(
                (incomplete.is_none(), is_endless),
                (ends, !ends),
                "{tokens:?}"
            );

            let next = |token: Option<String>| async move {
                let n = match token {
                    None => 0,
                    Some(token) => 1 + tokens.iter().position(|it| *it == Some(&token)).unwrap(),
                };
                let next = tokens.get(n).copied().flatten().map(str::to_owned);
                Ok::<_, ListObjectsV2Error>((Some(vec![()]), next))
            };
            let (items, incomplete) = read_pages_by_token(next).await;
            assert_eq!(items.len(), read, "{tokens:?}");
            let is_endless = matches!(incomplete, Some(Incomplete::NoEnd));
            assert_eq!(
                (incomplete.is_none(), is_endless),
                (ends, !ends),
                "{tokens:?}"
            );
        }
    }

    #[test]
    fn an_empty_page_is_told_from_one_that_says_nothing() {
        let page = ListObjectsV2Output::builder;
        let objects = |page: ListObjectsV2Output| objects_of(page).0;
        assert_eq!(objects(page().key_count(0).build()), Some(vec![]));
        assert_eq!(objects(page().build()), None);
        let cut = page().key_count(0).is_truncated(true);
        assert_eq!(objects(cut.build()), None);
    }
}
