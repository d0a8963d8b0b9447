//! Auto Scaling groups.

use steward::engine::Effect;

use super::course::{Target, Verdict};
use crate::action::{Action, Direction, is_sized, sizes_of};
use crate::reason::Reason;
use crate::world::{Group, Sizes};

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
    let remembered = target.resource.remembered(target.environment);
    let is_remembered = remembered.as_ref().is_some_and(|saved| saved.parked);
    if is_sized(has, nothing(group)) && (is_remembered || remembered.is_none()) {
        let gone = group.is_managed || group.instances == 0;
        return match (gone, is_remembered) {
            (true, true) => Verdict::There(Reason::Asleep),
            (true, false) => Verdict::There(Reason::AtZero),
            (false, _) if group.protected == group.instances => Verdict::Wait(Reason::Protected {
                instances: group.protected,
            }),
            (false, _) => Verdict::Wait(Reason::FallingAsleep),
        };
    }
    target.set(Action::SetGroup, Direction::Park, has, nothing(group), true)
}

pub(super) fn wake(target: &Target<'_>, group: &Group) -> Verdict {
    let has = sizes_of(target.resource);
    let remembered = target.resource.remembered(target.environment);
    let size = target.size();
    let baseline = target.baseline(has);
    let raised = |has: Option<u32>, before: Option<u32>| match has {
        Some(0) | None => before,
        changed => changed,
    };
    let awakened = Sizes {
        min: raised(has.min, baseline.min),
        desired: raised(has.desired, baseline.desired),
        max: has.max,
        suspended: None,
    };
    let mut wanted = match (&remembered, &size) {
        (None, None) => has,
        (Some(saved), None) if saved.parked => awakened,
        (Some(saved), None) => saved.sizes,
        (_, Some((_, size))) => size.over(awakened),
    };
    if group.is_managed {
        // ECS moves it; Auto Scaling itself brings it up to the minimum.
        wanted.desired = None;
    }
    if let (Some((name, _)), Some(max)) = (&size, wanted.max) {
        let desired = wanted.desired.max(wanted.min).unwrap_or_default();
        if desired > max {
            let size = (*name).to_owned();
            return Verdict::Blocked(Reason::AboveMaximum { size, desired, max });
        }
    }
    let remembers = size.is_some();
    let is_noted = match (&remembered, remembers) {
        (None, false) => true,
        (Some(saved), true) => !saved.parked,
        _ => false,
    };
    if remembers && is_noted && group.desired > 0 {
        // While it is awake its own policies move it between minimum and maximum.
        wanted.desired = None;
    }
    if !is_sized(has, wanted) || !is_noted {
        let was_parked = remembered.is_some_and(|saved| saved.parked);
        let direction = if was_parked {
            Direction::Wake
        } else {
            Direction::Resize
        };
        return target.set(Action::SetGroup, direction, has, wanted, remembers);
    }
    if target.resource.is_marked(target.environment) && !remembers {
        let action = Action::Unmark(target.subject());
        return Verdict::Do(Reason::StillMarked, Effect::Restore, Box::new(action));
    }
    // With a minimum of zero its instances come when tasks ask for them.
    let least = if group.is_managed {
        group.min
    } else {
        group.desired
    };
    let registered = group
        .registered
        .is_none_or(|registered| registered >= least);
    if group.in_service >= least && registered {
        Verdict::There(Reason::Awake)
    } else {
        Verdict::Wait(Reason::WakingUp)
    }
}
