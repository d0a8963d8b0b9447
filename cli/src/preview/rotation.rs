//! `steward snapshot-rotation preview`: which snapshots there are now, and will be in
//! a week, a month and a year under a policy. It never changes anything.

mod drawing;

use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use serde::Serialize;
use snapshot_rotation::{
    Action, NAME, Place, Preview, RotationPolicy, Scope, SnapshotRotation, Snapshots, World,
};
use steward::aws;
use steward::engine::{Act, Clock, Leash, Mode, Observe, Outcome, Seen, Trigger};
use steward::report::{ActionOutcome, GapLine, Refusal, Report};
use steward::run::{Context, Request, run as run_engine};
use steward::switches::{Position, Switches};

use self::drawing::Drawing;
use super::{Basis, PREVIEW, Shape, plan_command};
use crate::arguments::AwsArguments;
use crate::by_hand::{self, ByHand as _, Told};
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::terminal::Terminal;

/// The reason code of a database that a read which failed hides.
const UNSEEN: &str = "unseen";

/// The arguments.
#[derive(Clone, Debug, Args)]
struct PreviewArguments {
    /// The policy. Without it, the defaults for every database.
    #[arg(long, value_name = "FILE|ssm:NAME|s3://BUCKET/KEY")]
    policy: Option<String>,

    /// Only this database, as far as a rule selects it; may be repeated.
    #[arg(long, value_name = "NAME", conflicts_with = "from_nothing")]
    database: Vec<String>,

    /// Look at the policy alone, without AWS: at a new database under each rule.
    #[arg(long)]
    from_nothing: bool,

    #[command(flatten)]
    shape: Shape,

    #[command(flatten)]
    aws: AwsArguments,
}

/// Its command line.
pub(super) fn command() -> Command {
    PreviewArguments::augment_args(Command::new(PREVIEW))
        .about("Draw which snapshots there will be in a week, a month and a year; change nothing")
        .long_about(
            "Draw which snapshots there are now, and will be in a week, a month and a year under \
             the policy: of the databases of this account and Region, alike ones together, in each \
             place that the policy names. It asks the function itself what each run would do, and \
             supposes that all goes well: a snapshot is made each time that one is due, it and its \
             copies succeed and take no time, and nobody changes the databases or the policy. \
             Nothing is changed; it needs the read permissions of plan. The exit status is 0, 5 \
             when something could not be read and is not drawn, and 1 when so nothing is.",
        )
}

/// What is told beside the preview itself.
#[derive(Clone, Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    basis: Basis,
    /// `None` where AWS was not asked.
    account: Option<String>,
    region: String,
    #[serde(flatten)]
    preview: Preview,
    /// `None` where AWS was not asked.
    next_run: Option<NextRun>,
    gaps: Vec<GapLine>,
    warnings: Vec<String>,
}

/// What a plan would tell now, in numbers.
#[derive(Clone, Debug, Default, Serialize)]
struct NextRun {
    /// Snapshots that it would make.
    makes: usize,
    /// Copies.
    copies: usize,
    /// Snapshots that it would delete.
    deletes: usize,
    /// What guards hold back, which the pictures suppose that a person lets through.
    refusals: Vec<Refusal>,
}

impl NextRun {
    fn of(report: &Report) -> Self {
        let planned = |kind: &str| {
            let lines = report.actions.iter();
            let of_kind = lines.filter(|line| line.kind == kind);
            of_kind
                .filter(|line| line.outcome == ActionOutcome::Planned)
                .count()
        };
        Self {
            makes: planned("create_snapshot"),
            copies: planned("copy_snapshot"),
            deletes: planned("delete_snapshot"),
            refusals: report.refusals.clone(),
        }
    }
}

/// Looks, works out and draws.
pub(super) async fn run(matches: &ArgMatches, terminal: &Terminal) -> Result<Exit, Failure> {
    let given = PreviewArguments::from_arg_matches(matches).map_err(Failure::usage)?;
    let told = by_hand::told::<RotationPolicy>(given.policy.as_deref(), &given.aws).await?;
    let answer = if given.from_nothing {
        from_nothing(&told)
    } else {
        from_aws(&told, &given, terminal).await?
    };
    let names = ("database", &given.database[..]);
    let plan = plan_command(NAME, given.policy.as_ref(), &given.aws, names);
    given.shape.tell(&answer, terminal, |look| {
        Drawing::new(&answer, look).draw(&plan)
    })?;
    let preview = &answer.preview;
    let hides = preview.left.iter().any(|left| left.reason == UNSEEN);
    Ok(if answer.gaps.is_empty() {
        Exit::Done
    } else if preview.pictures.is_empty() {
        Exit::Failed
    } else if hides {
        Exit::Partial
    } else {
        Exit::Done
    })
}

/// The policy alone.
fn from_nothing(told: &Told<RotationPolicy>) -> Answer {
    let region = told.config.region().map(ToString::to_string);
    let region = region.unwrap_or_else(|| "the Region".to_owned());
    let preview = snapshot_rotation::preview_from_nothing(
        told.policy.policy(),
        &Place::here(&*region),
        Clock::System.now(),
    );
    Answer {
        account: None,
        region,
        next_run: None,
        gaps: vec![],
        warnings: told.policy.warnings().to_vec(),
        ..answer(told, preview)
    }
}

fn answer(told: &Told<RotationPolicy>, preview: Preview) -> Answer {
    Answer {
        basis: Basis::of(NAME, told),
        account: None,
        region: String::new(),
        preview,
        next_run: None,
        gaps: vec![],
        warnings: vec![],
    }
}

/// What is in the account and what becomes of it.
async fn from_aws(
    told: &Told<RotationPolicy>,
    given: &PreviewArguments,
    terminal: &Terminal,
) -> Result<Answer, Failure> {
    let region = aws::region(&told.config).map_err(Failure::usage)?;
    let account = aws::identity(&told.config)
        .await
        .map_err(Failure::failed)?
        .account;
    let scope = match given.database.as_slice() {
        [] => Scope::Everything,
        names => Scope::Databases(names.to_vec()),
    };
    let progress = Progress::start(terminal.progress);
    progress.say(format!("{} …", SnapshotRotation::READING));
    let policy = snapshot_rotation::without_documents(told.policy.policy());
    let seen = Snapshots::new(&told.config).observe(&policy, &scope).await;
    progress.say("working out a year …".to_owned());
    let now = Clock::System.now();
    let context = Context {
        account: account.clone(),
        region: region.clone(),
        run_id: by_hand::run_id(Clock::Fixed(now)),
        leash: Leash(Mode::Plan),
        clock: Clock::Fixed(now),
        deadline: None,
        switches: &Switches::Fixed(Position::Run),
        most_lines: usize::MAX,
    };
    let request = Request {
        operation: "rotate",
        mode: Some(Mode::Plan),
        trigger: Trigger::Cli,
        scope: scope.clone(),
        plan_file: None,
        warnings: vec![],
    };
    let looked = Looked(&seen);
    let plan = run_engine::<SnapshotRotation>(&looked, &context, &told.policy, request).await;
    let preview = snapshot_rotation::preview(&policy, &scope, &seen, now);
    drop(progress);
    Ok(Answer {
        account: Some(account),
        region,
        next_run: Some(NextRun::of(&plan.report)),
        gaps: seen.gaps.iter().map(Into::into).collect(),
        warnings: [told.policy.warnings(), &seen.warnings[..]].concat(),
        ..answer(told, preview)
    })
}

/// What has been seen, for a plan that sees the same.
struct Looked<'a>(&'a Seen<World>);

impl Observe<SnapshotRotation> for Looked<'_> {
    async fn observe(&self, _: &RotationPolicy, _: &Scope) -> Seen<World> {
        self.0.clone()
    }
}

impl Act<SnapshotRotation> for Looked<'_> {
    async fn act(&self, _: &RotationPolicy, batch: &[Action]) -> Vec<Outcome> {
        let nothing = Outcome::Skipped("a preview changes nothing".to_owned());
        vec![nothing; batch.len()]
    }
}
