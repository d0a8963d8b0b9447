//! Which resource belongs to which member of which environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use crate::policy::{Member, ScalingPolicy};
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

/// Every member of every environment.
pub(crate) struct Placing<'p> {
    environments: BTreeMap<&'p str, BTreeMap<String, Member>>,
    /// Those that take resources without a tag.
    untagged: Vec<Place>,
}

impl<'p> Placing<'p> {
    pub(crate) fn of(policy: &'p ScalingPolicy) -> Self {
        let environments: BTreeMap<&str, BTreeMap<String, Member>> = policy
            .environments
            .iter()
            .map(|(name, environment)| (name.as_str(), environment.members()))
            .collect();
        let mut untagged = Vec::new();
        for (environment, members) in &environments {
            let takes = members.iter().filter(|(_, member)| member.untagged);
            untagged.extend(takes.map(|(member, _)| Place {
                environment: (*environment).to_owned(),
                member: member.clone(),
            }));
        }
        Self {
            environments,
            untagged,
        }
    }

    /// A member of an environment.
    pub(crate) fn member(&self, place: &Place) -> Option<&Member> {
        let members = self.environments.get(place.environment.as_str())?;
        members.get(&place.member)
    }

    /// Every member that the policy selects a resource for. One that is tagged with
    /// an environment, or remembered as parked there and has lost its tag, is of that
    /// one and no other.
    pub(crate) fn of_resource(&self, resource: &Resource) -> Vec<Place> {
        let remembered = resource.saved.as_ref();
        let of = resource
            .environment()
            .or_else(|| remembered.map(|saved| saved.environment.as_str()));
        let Some(environment) = of else {
            let takes = |place: &&Place| {
                let member = self.member(place);
                member.is_some_and(|member| selects(member, resource))
            };
            return self.untagged.iter().filter(takes).cloned().collect();
        };
        let members = self.environments.get(environment).into_iter().flatten();
        let takes = members.filter(|(_, member)| selects(member, resource));
        takes
            .map(|(member, _)| Place {
                environment: environment.to_owned(),
                member: member.clone(),
            })
            .collect()
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
        let placing = Placing::of(policy);
        for resource in world.resources.values() {
            let mut places = placing.of_resource(resource);
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
