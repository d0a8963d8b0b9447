//! Services of Amazon ECS.

use super::target::{Target, Verdict};
use crate::action::{Action, Direction, is_sized, nothing_of_service, sizes_of};
use crate::reason::Reason;
use crate::world::{Service, Sizes, State};

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
    let saved = target.remembered();
    if target.was_started_by_hand(saved.as_ref()) {
        return Verdict::There(Reason::StartedByHand);
    }
    let is_parked = saved
        .as_ref()
        .is_some_and(|saved| saved.state == State::Parked);
    if is_sized(has, nothing) && (is_parked || saved.is_none()) {
        // What was at nothing before has no sizes that could be lost.
        return if service.running + service.pending > 0 {
            Verdict::Wait(Reason::FallingAsleep)
        } else if is_parked {
            Verdict::There(Reason::Asleep)
        } else {
            Verdict::There(Reason::AtZero)
        };
    }
    // A deployment that never ends must not keep an environment awake, and one by
    // somebody else must not be disturbed. What is begun is brought to its end.
    let may_disturb = target.is_overdue && service.deployed_by_ecs;
    if service.is_deploying && service.desired > 0 && !may_disturb {
        return Verdict::Wait(Reason::Deploying);
    }
    target.set(Action::SetService, Direction::Park, has, nothing)
}

pub(super) fn wake(target: &Target<'_>, service: &Service) -> Verdict {
    if let Some(verdict) = left_alone(service) {
        return verdict;
    }
    let has = sizes_of(target.resource);
    let saved = target.remembered();
    let Some(mut wanted) = target.awake(has) else {
        return Verdict::Blocked(Reason::SizesUnknown);
    };
    // Without a scalable target there is nothing but the desired count.
    if service.scalable.is_none() {
        wanted = Sizes {
            desired: wanted.desired,
            ..Sizes::default()
        };
    }
    if let (Some((name, _)), Some(desired), Some(max)) = (target.size(), wanted.desired, wanted.max)
        && desired > max
    {
        let size = name.to_owned();
        return Verdict::Blocked(Reason::AboveMaximum { size, desired, max });
    }
    let is_noted = target.is_noted(saved.as_ref());
    if service.scalable.is_some() && target.size().is_some() && is_noted {
        // Its policies move it between minimum and maximum.
        wanted.desired = None;
    }
    if let Some(verdict) = target.set_awake(Action::SetService, has, wanted) {
        return verdict;
    }
    let serves = service
        .healthy
        .iter()
        .all(|healthy| *healthy >= service.desired);
    let is_ready = service.runs() && serves;
    if is_ready && service.desired == 0 {
        Verdict::There(Reason::AtZero)
    } else if is_ready {
        Verdict::There(Reason::Awake)
    } else {
        Verdict::Wait(Reason::WakingUp)
    }
}
