//! Auto Scaling groups.

use super::target::{Target, Verdict};
use crate::action::{Action, Direction, is_sized, sizes_of};
use crate::reason::Reason;
use crate::world::{Group, Sizes, State};

/// What a parked group has. Its maximum stays, because ECS could not scale it out of
/// zero; a managed one is brought to nothing by ECS, which respects what still runs.
fn nothing(group: &Group) -> Sizes {
    Sizes {
        min: Some(0),
        desired: (!group.is_managed).then_some(0),
        max: None,
        suspended: None,
    }
}

pub(super) fn park(target: &Target<'_>, group: &Group) -> Verdict {
    let has = sizes_of(target.resource);
    let saved = target.remembered();
    if target.was_started_by_hand(saved.as_ref()) {
        return Verdict::There(Reason::StartedByHand);
    }
    let is_parked = saved
        .as_ref()
        .is_some_and(|saved| saved.state == State::Parked);
    if is_sized(has, nothing(group)) && (is_parked || saved.is_none()) {
        // Of a managed one ECS sees to the rest.
        return if !group.is_managed && group.instances > 0 {
            if group.protected == group.instances {
                let instances = group.protected;
                Verdict::Wait(Reason::Protected { instances })
            } else {
                Verdict::Wait(Reason::FallingAsleep)
            }
        } else if is_parked {
            Verdict::There(Reason::Asleep)
        } else {
            Verdict::There(Reason::AtZero)
        };
    }
    target.set(Action::SetGroup, Direction::Park, has, nothing(group))
}

pub(super) fn wake(target: &Target<'_>, group: &Group) -> Verdict {
    let has = sizes_of(target.resource);
    let saved = target.remembered();
    let Some(mut wanted) = target.awake(has) else {
        return Verdict::Blocked(Reason::SizesUnknown);
    };
    if group.is_managed {
        // ECS moves it; Auto Scaling itself brings it up to the minimum.
        wanted.desired = None;
    }
    if let (Some((name, _)), Some(max)) = (target.size(), wanted.max) {
        let desired = wanted.desired.max(wanted.min).unwrap_or_default();
        if desired > max {
            let size = name.to_owned();
            return Verdict::Blocked(Reason::AboveMaximum { size, desired, max });
        }
    }
    let is_noted = target.is_noted(saved.as_ref());
    if target.size().is_some() && is_noted {
        // Its own policies move it between minimum and maximum.
        wanted.desired = None;
    }
    if let Some(verdict) = target.set_awake(Action::SetGroup, has, wanted) {
        return verdict;
    }
    let registered = group
        .registered
        .is_none_or(|registered| registered >= group.least());
    if group.runs() && registered {
        Verdict::There(Reason::Awake)
    } else {
        Verdict::Wait(Reason::WakingUp)
    }
}
