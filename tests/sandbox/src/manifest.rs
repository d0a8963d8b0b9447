//! Image manifests as build tools push them: plain images, indexes over
//! platforms, attestations, signatures.
//!
//! The same arguments make the same manifest, so that digests can be worked
//! out before and asserted after.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::control::Image;
use jiff::Timestamp;

/// "OCI Image Manifest Specification".
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// "OCI Image Index Specification".
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Sigstore's bundle, as cosign attaches it to an image it signs.
const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What older cosign versions pushed under a `sha256-….sig` tag.
const COSIGN_PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A manifest ready to be pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    text: String,
    digest: String,
    media_type: &'static str,
    size_bytes: i64,
    platform: Option<Value>,
    annotations: Option<Value>,
}

impl Manifest {
    /// An image of one platform. What it is called decides its digest.
    pub fn image(name: &str) -> Self {
        Self::of_layers(name, "amd64", "linux", OCI_LAYER, None)
    }

    /// An image for one processor architecture, such as `amd64` or `arm64`.
    pub fn image_for(name: &str, architecture: &str) -> Self {
        Self::of_layers(name, architecture, "linux", OCI_LAYER, None)
    }

    /// What buildx pushes beside each platform's image: provenance and bill of
    /// materials, as a manifest of the platform `unknown/unknown`.
    pub fn attestation_of(subject: &Self) -> Self {
        let mut attestation = Self::of_layers(
            &format!("attestation of {}", subject.digest),
            "unknown",
            "unknown",
            "application/vnd.in-toto+json",
            None,
        );
        attestation.annotations = Some(json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject.digest,
        }));
        attestation
    }

    /// An index over images of several platforms.
    pub fn index(children: &[&Self]) -> Self {
        let manifests: Vec<Value> = children
            .iter()
            .map(|child| {
                let mut descriptor = child.descriptor();
                if let Some(platform) = &child.platform {
                    descriptor["platform"] = platform.clone();
                }
                if let Some(annotations) = &child.annotations {
                    descriptor["annotations"] = annotations.clone();
                }
                descriptor
            })
            .collect();
        let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        Self::of_body(&body, OCI_INDEX, 0)
    }

    /// A signature that names the image it signs as its subject (an OCI
    /// referrer).
    pub fn signature_of(subject: &Self) -> Self {
        let mut signature = Self::of_layers(
            &format!("signature of {}", subject.digest),
            "unknown",
            "unknown",
            SIGSTORE_BUNDLE,
            Some((SIGSTORE_BUNDLE, subject.descriptor())),
        );
        signature.platform = None;
        signature
    }

    /// A signature of the older kind, bound to its image by nothing but its
    /// tag: see [`Manifest::signature_tag`].
    pub fn tagged_signature_of(subject: &Self) -> Self {
        let name = format!("tagged signature of {}", subject.digest);
        Self::of_layers(&name, "unknown", "unknown", COSIGN_PAYLOAD, None)
    }

    /// The tag that binds an older signature to this image.
    pub fn signature_tag(&self) -> String {
        format!("{}.sig", self.digest.replace(':', "-"))
    }

    /// The manifest's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `sha256:` and the hash of the text.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The media type to push it as.
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }

    /// For [`Control::images`](crate::Control::images), as pushed at a moment.
    pub fn pushed_at<T: Into<String>>(
        &self,
        pushed_at: Timestamp,
        tags: impl IntoIterator<Item = T>,
    ) -> Image {
        Image {
            tags: tags.into_iter().map(Into::into).collect(),
            pushed_at: Some(pushed_at),
            size: (self.size_bytes > 0).then_some(self.size_bytes),
            manifest: Some(self.text.clone()),
            digest: Some(self.digest.clone()),
            ..Image::default()
        }
    }

    fn of_layers(
        name: &str,
        architecture: &str,
        os: &str,
        layer_type: &str,
        artifact: Option<(&str, Value)>,
    ) -> Self {
        let blob = |what: &str| {
            format!(
                "sha256:{}",
                hex(&format!("{what} of {name} for {os}/{architecture}"))
            )
        };
        let is_image = layer_type == OCI_LAYER;
        // Between 60 and 92 MB for an image; a few KB for what is not one.
        let size_bytes = if is_image {
            60_000_000 + i64::from(Sha256::digest(name)[0]) * 125_000
        } else {
            4_096
        };
        let config_type = if artifact.is_some() {
            "application/vnd.oci.empty.v1+json"
        } else {
            OCI_CONFIG
        };
        let mut body = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": config_type, "digest": blob("config"), "size": 1_500},
            "layers": [{"mediaType": layer_type, "digest": blob("layer"), "size": size_bytes}],
        });
        if let Some((artifact_type, subject)) = artifact {
            body["artifactType"] = json!(artifact_type);
            body["subject"] = subject;
        }
        let mut made = Self::of_body(&body, OCI_MANIFEST, size_bytes);
        made.platform = Some(json!({"architecture": architecture, "os": os}));
        made
    }

    fn of_body(body: &Value, media_type: &'static str, size_bytes: i64) -> Self {
        let text = body.to_string();
        let digest = format!("sha256:{}", hex(&text));
        Self {
            text,
            digest,
            media_type,
            size_bytes,
            platform: None,
            annotations: None,
        }
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.text.len()})
    }
}

/// The hexadecimal SHA-256 of a text.
pub(crate) fn hex(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_make_equal_digests_and_platforms_differ() {
        assert_eq!(Manifest::image("a"), Manifest::image("a"));
        assert_ne!(Manifest::image("a").digest(), Manifest::image("b").digest());
        assert_ne!(
            Manifest::image_for("a", "amd64").digest(),
            Manifest::image_for("a", "arm64").digest()
        );
    }

    #[test]
    fn an_index_names_its_children_and_marks_attestations() {
        let amd64 = Manifest::image_for("a", "amd64");
        let attestation = Manifest::attestation_of(&amd64);
        let index: Value =
            serde_json::from_str(Manifest::index(&[&amd64, &attestation]).text()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], amd64.digest());
        assert_eq!(index["manifests"][0]["platform"]["architecture"], "amd64");
        assert_eq!(
            index["manifests"][1]["platform"],
            json!({"architecture": "unknown", "os": "unknown"})
        );
        assert_eq!(
            index["manifests"][1]["annotations"]["vnd.docker.reference.digest"],
            amd64.digest()
        );
    }

    #[test]
    fn a_signature_names_its_subject_or_is_named_after_it() {
        let image = Manifest::image("a");
        let signature: Value = serde_json::from_str(Manifest::signature_of(&image).text()).unwrap();
        assert_eq!(signature["subject"]["digest"], image.digest());
        assert_eq!(
            image.signature_tag(),
            format!("sha256-{}.sig", &image.digest()[7..])
        );
    }
}
