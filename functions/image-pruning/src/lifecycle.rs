//! What a repository's own lifecycle policy is about to do to images that
//! image-pruning protects.
//!
//! Lifecycle policies know nothing of who uses an image. image-pruning cannot
//! stop them; it warns. The rules are those of the Amazon ECR User Guide,
//! "Automate the cleanup of images by using lifecycle policies" and "Lifecycle
//! policy properties"; where they leave room, more is taken to expire.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use wildmatch::WildMatch;

use crate::graph::Graph;
use crate::world::{Digest, Image, Repository, Storage};

/// A policy acts within 24 hours ("Automate the cleanup of images by using
/// lifecycle policies"), and the next look may be as far away.
const LOOK_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// A lifecycle policy, its rules in the order in which they are applied.
#[derive(Debug)]
pub(crate) struct LifecyclePolicy {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Document {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    rule_priority: i64,
    selection: Selected,
    action: RuleAction,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selected {
    tag_status: TagStatus,
    #[serde(default)]
    tag_pattern_list: Vec<String>,
    #[serde(default)]
    tag_prefix_list: Vec<String>,
    #[serde(default)]
    storage_class: StorageClass,
    count_type: CountType,
    count_number: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum TagStatus {
    Tagged,
    Untagged,
    Any,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum StorageClass {
    #[default]
    Standard,
    Archive,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum CountType {
    ImageCountMoreThan,
    SinceImagePushed,
    SinceImagePulled,
    SinceImageTransitioned,
}

#[derive(Debug, Deserialize)]
struct RuleAction {
    #[serde(rename = "type")]
    kind: ActionType,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum ActionType {
    Expire,
    Transition,
}

/// An image that a rule is about to expire or to archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Marked<'a> {
    /// The image.
    pub(crate) digest: &'a Digest,
    /// The rule's priority, which is how a person finds it.
    pub(crate) rule: i64,
    /// `expire` or `archive`.
    pub(crate) verb: &'static str,
}

impl LifecyclePolicy {
    /// Reads the text of a lifecycle policy.
    ///
    /// # Errors
    /// When it is no JSON, or has something in it that is new to us.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let Document { mut rules } = serde_json::from_str(text)?;
        rules.sort_by_key(|rule| rule.rule_priority);
        Ok(Self { rules })
    }

    /// Everything that is about to be expired or archived, by digest.
    pub(crate) fn marks<'a>(&self, repository: &'a Repository, now: Timestamp) -> Vec<Marked<'a>> {
        let soon = now.saturating_add(LOOK_AHEAD).unwrap_or(Timestamp::MAX);
        let graph = Graph::of(repository);
        let mut marked: HashMap<&'a Digest, Marked<'a>> = HashMap::new();
        // An image that meets the tag requirements of a rule is out of reach of
        // the rules after it.
        let mut claimed: HashSet<&'a Digest> = HashSet::new();
        for rule in &self.rules {
            let selected: Vec<(&'a Digest, &'a Image)> = repository
                .images
                .iter()
                .filter(|(_, image)| rule.selection.selects(image))
                .collect();
            for digest in rule.selection.overdue(&selected, soon) {
                if !claimed.contains(digest) {
                    let verb = match rule.action.kind {
                        ActionType::Expire => "expire",
                        ActionType::Transition => "archive",
                    };
                    marked.entry(digest).or_insert(Marked {
                        digest,
                        rule: rule.rule_priority,
                        verb,
                    });
                }
            }
            claimed.extend(selected.into_iter().map(|(digest, _)| digest));
        }
        // What an index lists goes only after every index that lists it.
        let spared: Vec<&Digest> = marked
            .keys()
            .copied()
            .filter(|digest| {
                let indexes = graph.parents.get(digest).into_iter().flatten();
                indexes.into_iter().any(|index| !marked.contains_key(index))
            })
            .collect();
        for digest in spared {
            marked.remove(digest);
        }
        let mut marked: Vec<Marked<'a>> = marked.into_values().collect();
        marked.sort_by_key(|mark| mark.digest);
        marked
    }
}

impl Selected {
    fn selects(&self, image: &Image) -> bool {
        let in_class = match self.storage_class {
            StorageClass::Standard => image.can_be_pulled(),
            StorageClass::Archive => image.is_archived(),
        };
        in_class
            && match self.tag_status {
                TagStatus::Any => true,
                TagStatus::Untagged => image.tags.is_empty(),
                TagStatus::Tagged => self.selects_tags(&image.tags),
            }
    }

    /// Every pattern, or every prefix, must match one of the tags.
    fn selects_tags(&self, tags: &[String]) -> bool {
        let matches_one =
            |matches: &dyn Fn(&str) -> bool| tags.iter().any(|tag| matches(tag.as_str()));
        let pattern = |pattern: &String| {
            let glob = WildMatch::new(pattern);
            matches_one(&|tag| glob.matches(tag))
        };
        let prefix = |prefix: &String| matches_one(&|tag| tag.starts_with(prefix.as_str()));
        !tags.is_empty()
            && self.tag_pattern_list.iter().all(pattern)
            && self.tag_prefix_list.iter().all(prefix)
    }

    /// Those of the selected images that the count is exceeded by.
    fn overdue<'a>(
        &self,
        selected: &[(&'a Digest, &'a Image)],
        soon: Timestamp,
    ) -> Vec<&'a Digest> {
        if self.count_type == CountType::ImageCountMoreThan {
            let mut youngest_first = selected.to_vec();
            youngest_first.sort_by(|(a, x), (b, y)| y.pushed_at.cmp(&x.pushed_at).then(a.cmp(b)));
            let beyond = youngest_first.into_iter().skip(self.count_number as usize);
            return beyond.map(|(digest, _)| digest).collect();
        }
        let since = |image: &Image| match self.count_type {
            CountType::SinceImagePulled => image
                .last_pulled_at
                .or(image.pushed_at)
                .max(image.restored_at),
            CountType::SinceImageTransitioned => match image.storage {
                Storage::Archived { since } => since,
                Storage::Standard | Storage::Moving => None,
            },
            CountType::SinceImagePushed | CountType::ImageCountMoreThan => image.pushed_at,
        };
        let days = SignedDuration::from_hours(24 * i64::from(self.count_number));
        let limit = soon.saturating_sub(days).unwrap_or(Timestamp::MIN);
        let over = |image: &Image| since(image).is_some_and(|at| at < limit);
        let overdue = selected.iter().filter(|(_, image)| over(image));
        overdue.map(|(digest, _)| *digest).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn digest(n: usize) -> Digest {
        Digest::new(format!("sha256:{n:064}"))
    }

    fn aged(days: i64, tags: &[&str]) -> Image {
        Image {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            pushed_at: Some(now() - SignedDuration::from_hours(24 * days)),
            ..Image::default()
        }
    }

    fn repository(images: Vec<Image>) -> Repository {
        Repository {
            images: (0..).map(digest).zip(images).collect(),
            ..Repository::default()
        }
    }

    fn rule(priority: i64, selection: Value) -> Value {
        json!({"rulePriority": priority, "selection": selection, "action": {"type": "expire"}})
    }

    /// The numbers of the images that the rules mark, with the marking rule.
    fn marks(rules: &[Value], images: Vec<Image>) -> Vec<(usize, i64)> {
        let policy = LifecyclePolicy::parse(&json!({"rules": rules}).to_string()).unwrap();
        let repository = repository(images);
        let number = |of: &Digest| (0..).find(|n| digest(*n) == *of).unwrap();
        let marks = policy.marks(&repository, now());
        marks.iter().map(|m| (number(m.digest), m.rule)).collect()
    }

    #[test]
    fn an_age_expires_what_will_be_older_tomorrow() {
        let pushed = json!({"tagStatus": "any", "countType": "sinceImagePushed",
            "countUnit": "days", "countNumber": 14});
        let images = vec![aged(12, &[]), aged(14, &[]), aged(15, &["v1"])];
        assert_eq!(marks(&[rule(1, pushed)], images), [(1, 1), (2, 1)]);
    }

    #[test]
    fn a_count_keeps_the_youngest_of_everything_that_it_selects() {
        let count = json!({"tagStatus": "tagged", "tagPrefixList": ["v"],
            "countType": "imageCountMoreThan", "countNumber": 1});
        let images = vec![
            aged(9, &["v1"]),
            aged(3, &["v2"]),
            aged(20, &["x"]),
            aged(30, &[]),
        ];
        assert_eq!(marks(&[rule(1, count)], images), [(0, 1)]);
    }

    #[test]
    fn an_image_belongs_to_the_first_rule_whose_tags_it_meets() {
        let keep = json!({"tagStatus": "tagged", "tagPatternList": ["prod*"],
            "countType": "imageCountMoreThan", "countNumber": 999});
        let any = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
        let images = vec![aged(9, &["prod-1"]), aged(3, &["v2"]), aged(5, &["v1"])];
        let rules = [rule(2, any.clone()), rule(1, keep)];
        assert_eq!(marks(&rules, images.clone()), [(2, 2)]);
        assert_eq!(marks(&[rule(2, any)], images), [(0, 2), (2, 2)]);
    }

    #[test]
    fn every_pattern_must_match_a_tag() {
        let both = json!({"tagStatus": "tagged", "tagPatternList": ["a*", "*z"],
            "countType": "imageCountMoreThan", "countNumber": 0});
        let images = vec![
            aged(1, &["abc"]),
            aged(1, &["abc", "xyz"]),
            aged(1, &["az"]),
        ];
        assert_eq!(marks(&[rule(1, both)], images), [(1, 1), (2, 1)]);
    }

    #[test]
    fn what_a_live_index_lists_is_spared() {
        let untagged = json!({"tagStatus": "untagged", "countType": "sinceImagePushed",
            "countUnit": "days", "countNumber": 1});
        let index = Image {
            children: vec![digest(1)],
            index: true,
            ..aged(90, &["v1"])
        };
        let images = vec![index, aged(90, &[]), aged(90, &[])];
        assert_eq!(marks(&[rule(1, untagged)], images), [(2, 1)]);
    }

    #[test]
    fn pulls_and_transitions_have_their_own_clocks() {
        let pulled = json!({"tagStatus": "any", "countType": "sinceImagePulled",
            "countUnit": "days", "countNumber": 90});
        let mut recent = aged(400, &["a"]);
        recent.last_pulled_at = Some(now());
        let mut restored = aged(400, &["b"]);
        restored.restored_at = Some(now());
        let images = vec![recent, restored, aged(400, &["c"])];
        assert_eq!(marks(&[rule(1, pulled)], images), [(2, 1)]);

        let archived = json!({"tagStatus": "any", "storageClass": "archive",
            "countType": "sinceImageTransitioned", "countUnit": "days", "countNumber": 90});
        let since = |days: i64| Image {
            storage: Storage::Archived {
                since: Some(now() - SignedDuration::from_hours(24 * days)),
            },
            ..aged(900, &[])
        };
        let images = vec![since(100), since(10), aged(900, &[])];
        assert_eq!(marks(&[rule(1, archived)], images), [(0, 1)]);
    }

    #[test]
    fn what_is_new_to_us_is_an_error() {
        let odd = json!({"tagStatus": "any", "countType": "sinceFullMoon", "countNumber": 1});
        let text = json!({"rules": [rule(1, odd)]}).to_string();
        assert!(LifecyclePolicy::parse(&text).is_err());
        assert!(LifecyclePolicy::parse("{").is_err());
    }
}
