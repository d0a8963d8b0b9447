//! In which order the members of an environment wake and sleep. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// A member needs one that there is not.
    #[error("{member} needs {missing}, which is no member of the environment")]
    Missing {
        /// Which.
        member: String,
        /// What it names.
        missing: String,
    },
    /// Members need each other.
    #[error("{} need each other in a circle", members.join(", "))]
    Circle {
        /// Those of the circle, each before what it needs.
        members: Vec<String>,
    },
}

/// Members by what they need.
pub type Needs = BTreeMap<String, BTreeSet<String>>;

/// Waves of members: those of one wave wake together, after all of the waves before
/// are ready. They sleep the other way round.
///
/// # Errors
/// [`OrderError`], when a need is missing or goes in a circle.
pub fn waves(needs: &Needs) -> Result<Vec<BTreeSet<&str>>, OrderError> {
    for (member, wanted) in needs {
        if let Some(missing) = wanted.iter().find(|name| !needs.contains_key(*name)) {
            let (member, missing) = (member.clone(), missing.clone());
            return Err(OrderError::Missing { member, missing });
        }
    }
    let mut waves: Vec<BTreeSet<&str>> = Vec::new();
    let mut awake: BTreeSet<&str> = BTreeSet::new();
    while awake.len() < needs.len() {
        let is_next = |(member, wanted): &(&String, &BTreeSet<String>)| {
            let asleep = !awake.contains(member.as_str());
            asleep && wanted.iter().all(|name| awake.contains(name.as_str()))
        };
        let wave = needs.iter().filter(is_next);
        let wave: BTreeSet<&str> = wave.map(|(member, _)| member.as_str()).collect();
        if wave.is_empty() {
            let members = circle(needs, &awake);
            return Err(OrderError::Circle { members });
        }
        awake.extend(&wave);
        waves.push(wave);
    }
    Ok(waves)
}

/// What each member needs, also by way of others.
pub fn closure(needs: &Needs) -> Needs {
    let mut all = needs.clone();
    loop {
        let mut grown = all.clone();
        for (member, direct) in &all {
            let further = direct.iter().filter_map(|name| all.get(name)).flatten();
            let further: Vec<String> = further.cloned().collect();
            if let Some(of) = grown.get_mut(member) {
                of.extend(further);
            }
        }
        if grown == all {
            return all;
        }
        all = grown;
    }
}

/// One circle among the members that never wake: each of them needs another.
fn circle(needs: &Needs, awake: &BTreeSet<&str>) -> Vec<String> {
    let sleeps = |name: &&String| !awake.contains(name.as_str());
    let mut path: Vec<&String> = Vec::new();
    let mut next = needs.keys().find(sleeps);
    while let Some(member) = next {
        if let Some(begins) = path.iter().position(|seen| *seen == member) {
            return path[begins..].iter().map(|name| (*name).clone()).collect();
        }
        path.push(member);
        next = needs[member].iter().find(sleeps);
    }
    vec![]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn needs(all: &[(&str, &[&str])]) -> Needs {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let pair = |(member, wanted): &(&str, &[&str])| (member.to_string(), owned(wanted));
        all.iter().map(pair).collect()
    }

    #[test]
    fn what_is_needed_wakes_first() {
        let all = needs(&[
            ("web", &["database", "capacity", "workers"]),
            ("workers", &["database", "capacity"]),
            ("database", &[]),
            ("capacity", &[]),
        ]);
        let found = waves(&all).unwrap();
        let expected: [BTreeSet<&str>; 3] = [
            ["capacity", "database"].into(),
            ["workers"].into(),
            ["web"].into(),
        ];
        assert_eq!(found, expected);
        assert_eq!(waves(&Needs::new()), Ok(vec![]));
    }

    #[test]
    fn what_is_needed_by_way_of_another_is_needed() {
        let all = closure(&needs(&[
            ("web", &["queue"]),
            ("queue", &["database"]),
            ("database", &[]),
        ]));
        assert_eq!(all["web"], ["database", "queue"].map(str::to_owned).into());
        assert_eq!(all["queue"], ["database".to_owned()].into());
        assert!(all["database"].is_empty());
    }

    #[test]
    fn a_need_that_is_missing_or_goes_in_a_circle_is_told() {
        let missing = needs(&[("web", &["databse"]), ("database", &[])]);
        assert_eq!(
            waves(&missing).unwrap_err().to_string(),
            "web needs databse, which is no member of the environment"
        );
        let circle = needs(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["d"]),
            ("d", &["b", "e"]),
            ("e", &[]),
        ]);
        assert_eq!(
            waves(&circle).unwrap_err().to_string(),
            "b, c, d need each other in a circle"
        );
        let itself = needs(&[("a", &["a"])]);
        let error = waves(&itself).unwrap_err().to_string();
        assert_eq!(error, "a need each other in a circle");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn everybody_wakes_once_and_after_what_it_needs(
            edges in proptest::collection::vec((0..8_usize, 0..8_usize), 0..16)
        ) {
            let name = |n: usize| format!("m{n}");
            let mut all: Needs = (0..8).map(|n| (name(n), BTreeSet::new())).collect();
            for (a, b) in edges {
                all.get_mut(&name(a)).unwrap().insert(name(b));
            }
            match waves(&all) {
                Ok(waves) => {
                    let mut awake: BTreeSet<&str> = BTreeSet::new();
                    for wave in waves {
                        for member in &wave {
                            prop_assert!(all[*member].iter().all(|need| awake.contains(need.as_str())));
                        }
                        let before = awake.len();
                        awake.extend(&wave);
                        prop_assert_eq!(awake.len(), before + wave.len());
                    }
                    prop_assert_eq!(awake.len(), all.len());
                }
                Err(OrderError::Circle { members }) => {
                    // It is one: each needs the next, and the last the first.
                    prop_assert!(!members.is_empty());
                    for (n, member) in members.iter().enumerate() {
                        let next = &members[(n + 1) % members.len()];
                        prop_assert!(all[member].contains(next), "{members:?}");
                    }
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
