//! What bounds remedies: on one target a cool-down and attempts in a window, in the
//! account so many in an hour. The same is asked when something is decided on and, of
//! what the ledger then says, just before it is done.

use jiff::{SignedDuration, Timestamp};

use crate::case::Attempts;
use crate::policy::Bounds;
use crate::reason::{Code, Reason};

/// Why a remedy of this kind may not be done now; `None`: it may. `more` are those that
/// are decided on and not written yet. One that a person has approved need not wait for
/// a cool-down.
pub fn refuses(
    bounds: &Bounds,
    kind: &str,
    (on_target, of_all): (&Attempts, &Attempts),
    more: usize,
    is_approved: bool,
    now: Timestamp,
) -> Option<Reason> {
    let since = bounds.window.before(now);
    let tried = on_target.since(since, Some(kind));
    if tried >= bounds.attempts as usize {
        return Some(Reason::new(
            Code::AttemptsUsed,
            format!(
                "{kind} was tried {tried} times in {}, and {} are allowed",
                bounds.window, bounds.attempts
            ),
        ));
    }
    if let Some(last) = on_target.last()
        && !is_approved
        && bounds.cool_down.after(last) > now
    {
        let until = bounds.cool_down.after(last);
        let text = format!("something was done {last}: it is left alone until {until}");
        return Some(Reason::new(Code::CoolDown, text));
    }
    let hour = now.saturating_sub(SignedDuration::from_hours(1));
    let in_hour = of_all.since(hour.unwrap_or(Timestamp::MIN), None) + more;
    (in_hour >= bounds.per_hour as usize).then(|| {
        let text = format!(
            "{in_hour} remedies were done in the account in an hour, and {} are allowed",
            bounds.per_hour
        );
        Reason::new(Code::HourlyLimit, text)
    })
}
