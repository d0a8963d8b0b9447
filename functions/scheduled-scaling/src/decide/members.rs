//! Which resource belongs to which member of which environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use crate::policy::{Environment, Member, ScalingPolicy};
use crate::world::{Kind, Resource, World};

/// A member of an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The environment.
    pub(crate) environment: String,
    /// The member.
    pub(crate) member: String,
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.environment, self.member)
    }
}

impl Place {
    /// Every member that the policy selects a resource for. One that is tagged with
    /// an environment is of that one and no other.
    pub(crate) fn all_of(policy: &ScalingPolicy, resource: &Resource) -> Vec<Self> {
        let place = |(environment, member): (&String, String)| Self {
            environment: environment.clone(),
            member,
        };
        let of = |(name, environment): (&'_ String, &Environment)| {
            let members = environment.members().into_iter();
            let is_tagged = resource.environment() == Some(name);
            let takes = members
                .filter(|(_, member)| (is_tagged || member.untagged) && selects(member, resource));
            let names: Vec<String> = takes.map(|(member, _)| member).collect();
            names
                .into_iter()
                .map(|member| place((name, member)))
                .collect::<Vec<_>>()
        };
        match resource.environment() {
            Some(tagged) => policy
                .environments
                .get_key_value(tagged)
                .map(of)
                .unwrap_or_default(),
            None => policy.environments.iter().flat_map(of).collect(),
        }
    }
}

fn selects(member: &Member, resource: &Resource) -> bool {
    let selection = match resource.kind {
        Kind::Service(_) => &member.services,
        Kind::Group(_) => &member.groups,
        Kind::Database(_) => &member.databases,
    };
    selection
        .as_ref()
        .is_some_and(|selection| selection.selects(&resource.name))
}

/// Whether the databases of a member get snapshots before they sleep.
pub(crate) fn needs_snapshots(policy: &ScalingPolicy, place: &Place) -> bool {
    let environment = policy.environments.get(&place.environment);
    let members = environment.map(Environment::members).unwrap_or_default();
    members
        .get(&place.member)
        .is_some_and(|member| member.snapshot)
}

/// All resources by their members.
pub(crate) struct Members<'w> {
    of: BTreeMap<Place, Vec<&'w Resource>>,
    several: Vec<(&'w Resource, Vec<Place>)>,
}

impl<'w> Members<'w> {
    pub(super) fn of(policy: &ScalingPolicy, world: &'w World) -> Self {
        let mut all = Self {
            of: BTreeMap::new(),
            several: vec![],
        };
        for resource in world.resources.values() {
            let mut places = Place::all_of(policy, resource);
            if places.len() > 1 {
                all.several.push((resource, places));
            } else if let Some(place) = places.pop() {
                all.of.entry(place).or_default().push(resource);
            }
        }
        all
    }

    /// The resources of a member.
    pub(super) fn resources(&self, environment: &str, member: &str) -> &[&'w Resource] {
        let place = Place {
            environment: environment.to_owned(),
            member: member.to_owned(),
        };
        self.of.get(&place).map(Vec::as_slice).unwrap_or_default()
    }

    /// What more than one member selects.
    pub(super) fn several(&self) -> &[(&'w Resource, Vec<Place>)] {
        &self.several
    }

    /// The names of the members that have such a resource twice: what they need is
    /// not known.
    pub(super) fn with_several(&self, environment: &str) -> BTreeSet<&str> {
        let places = self.several.iter().flat_map(|(_, places)| places);
        let here = places.filter(|place| place.environment == environment);
        here.map(|place| place.member.as_str()).collect()
    }
}
