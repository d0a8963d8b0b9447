//! Services of Amazon ECS.

use steward::engine::Effect;

use super::course::{Target, Verdict};
use crate::action::{Action, Direction, is_sized, nothing_of_service, sizes_of};
use crate::reason::Reason;
use crate::world::{Service, Sizes, Suspended};

/// What is not for Steward, whatever is wanted.
fn left_alone(service: &Service) -> Option<Verdict> {
    if service.status != "ACTIVE" {
        let status = service.status.clone();
        return Some(Verdict::Leave(Reason::Leaving { status }));
    }
    service.is_daemon.then_some(Verdict::Leave(Reason::Daemon))
}

pub(super) fn park(target: &Target<'_>, service: &Service) -> Verdict {
    if let Some(verdict) = left_alone(service) {
        return verdict;
    }
    let has = sizes_of(target.resource);
    let nothing = nothing_of_service(has);
    let remembered = target.resource.remembered(target.environment);
    let is_remembered = remembered.as_ref().is_some_and(|saved| saved.parked);
    let is_at_zero = has.desired == Some(0) && has.min.unwrap_or(0) == 0;
    if is_at_zero && (is_remembered || remembered.is_none()) {
        // What was at zero before has no sizes that could be lost.
        return if service.running + service.pending > 0 {
            Verdict::Wait(Reason::FallingAsleep)
        } else if !is_remembered {
            Verdict::There(Reason::AtZero)
        } else if is_sized(has, nothing) {
            Verdict::There(Reason::Asleep)
        } else {
            // Half of it was done.
            target.set(Action::SetService, Direction::Park, has, nothing, true)
        };
    }
    // A deployment that never ends must not keep an environment awake, and one by
    // somebody else must not be disturbed.
    if service.is_deploying && !(target.is_overdue && service.deployed_by_ecs) {
        return Verdict::Wait(Reason::Deploying);
    }
    target.set(Action::SetService, Direction::Park, has, nothing, true)
}

pub(super) fn wake(target: &Target<'_>, service: &Service) -> Verdict {
    if let Some(verdict) = left_alone(service) {
        return verdict;
    }
    let has = sizes_of(target.resource);
    let remembered = target.resource.remembered(target.environment);
    let size = target.size();
    let baseline = target.baseline(has);
    let mut wanted = match (&remembered, &size) {
        (None, None) => has,
        (Some(saved), None) if saved.parked => awakened(has, baseline),
        (Some(saved), None) => saved.sizes,
        (_, Some((_, size))) => size.over(awakened(has, baseline)),
    };
    // Without a scalable target there is nothing but the desired count.
    if service.scalable.is_none() {
        wanted = Sizes {
            desired: wanted.desired,
            ..Sizes::default()
        };
    }
    if let (Some((name, _)), Some(desired), Some(max)) = (&size, wanted.desired, wanted.max)
        && desired > max
    {
        let size = (*name).to_owned();
        return Verdict::Blocked(Reason::AboveMaximum { size, desired, max });
    }
    let remembers = size.is_some();
    let is_noted = match (&remembered, remembers) {
        (None, false) => true,
        (Some(saved), true) => !saved.parked,
        _ => false,
    };
    let is_marked = target.resource.is_marked(target.environment);
    if service.scalable.is_some() && remembers && is_noted && service.desired > 0 {
        // While it is awake its policies move it between minimum and maximum.
        wanted.desired = None;
    }
    if !is_sized(has, wanted) || !is_noted {
        let was_parked = remembered.is_some_and(|saved| saved.parked);
        let direction = if was_parked {
            Direction::Wake
        } else {
            Direction::Resize
        };
        return target.set(Action::SetService, direction, has, wanted, remembers);
    }
    if is_marked && !remembers {
        let action = Action::Unmark(target.subject());
        return Verdict::Do(Reason::StillMarked, Effect::Restore, Box::new(action));
    }
    let runs = service.running >= service.desired;
    let serves = service
        .healthy
        .iter()
        .all(|healthy| *healthy >= service.desired);
    if runs && serves {
        Verdict::There(Reason::Awake)
    } else {
        Verdict::Wait(Reason::WakingUp)
    }
}

/// The sizes of what wakes: those from before, but what somebody has started or
/// changed meanwhile is not taken back.
fn awakened(has: Sizes, before: Sizes) -> Sizes {
    let or_before = |has: Option<u32>, before: Option<u32>| match has {
        Some(0) | None => before,
        changed => changed,
    };
    let min = or_before(has.min, before.min);
    Sizes {
        min,
        desired: or_before(has.desired, before.desired).max(min),
        max: or_before(has.max, before.max),
        suspended: if has.suspended == Some(Suspended::ALL) {
            before.suspended
        } else {
            has.suspended
        },
    }
}
