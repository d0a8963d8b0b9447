//! Months of ticks in a moment, with changes of the clock, holidays, outages, persons
//! who start things at night, and a database that AWS starts after seven days.

use std::cell::RefCell;
use std::rc::Rc;

use jiff::civil::{Date, Time, Weekday, date, time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use scheduled_scaling::{Kind, ScalingPolicy, Suspended};
use steward::policy::PolicyDocument;

use crate::cloud::{Cloud, Hands, database_arn, document, service_arn};

/// Weekdays from 07:30 to 20:00 in Berlin, not on holidays, and over the holidays
/// nothing for eleven days.
fn policy() -> PolicyDocument<ScalingPolicy> {
    document(
        r#"
version: 1
holidays:
  germany: ["2026-10-03", "2026-12-25..2026-12-26", "2027-01-01", "2027-03-26", "2027-03-29"]
schedules:
  office:
    time_zone: Europe/Berlin
    periods:
      - {days: [mon-fri], start: "07:30", stop: "20:00"}
    holidays: [germany]
    exceptions:
      - {dates: "2026-12-24..2027-01-03"}
environments:
  dev:
    schedules: [office]
    members:
      databases: {databases: {include: ["*"]}, snapshot: true}
      capacity: {groups: {include: ["*"]}, needs: [databases]}
      services: {services: {include: ["*"]}, needs: [capacity, databases]}
"#,
    )
}

fn account(now: Timestamp) -> Cloud {
    let mut cloud = Cloud::new(now);
    cloud.put_database("dev", "shop-db");
    cloud.put_group("dev", "shop-managed", (1, 2, 6), true);
    cloud.put_group("dev", "shop-plain", (1, 3, 4), false);
    cloud.put_service("dev", "shop/web", 4, Some((2, 8)));
    cloud.put_service("dev", "shop/worker", 1, None);
    cloud.put_service("dev", "shop/off", 0, None);
    cloud
}

/// What the clock on the wall says, written another way: whether people work.
fn people_work(at: &Zoned) -> bool {
    let holidays: [Date; 6] = [
        date(2026, 10, 3),
        date(2026, 12, 25),
        date(2026, 12, 26),
        date(2027, 1, 1),
        date(2027, 3, 26),
        date(2027, 3, 29),
    ];
    let day = at.date();
    let closed = day >= date(2026, 12, 24) && day <= date(2027, 1, 3);
    let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
    let open: (Time, Time) = (time(7, 30, 0, 0), time(20, 0, 0, 0));
    !closed && !weekend && !holidays.contains(&day) && at.time() >= open.0 && at.time() < open.1
}

/// How long a transition may take here, with all of its steps.
const SETTLED: SignedDuration = SignedDuration::from_mins(90);

struct Days {
    cloud: Rc<RefCell<Cloud>>,
    policy: PolicyDocument<ScalingPolicy>,
    /// How long what the wall says has been so.
    stable_since: Timestamp,
    last: bool,
    needs: Vec<String>,
}

impl Days {
    fn new(from: Timestamp) -> Self {
        let cloud = account(from);
        Self {
            cloud: Rc::new(RefCell::new(cloud)),
            policy: policy(),
            stable_since: from,
            last: true,
            needs: vec![],
        }
    }

    fn works(&self) -> bool {
        let now = self.cloud.borrow().now;
        people_work(&now.to_zoned(TimeZone::get("Europe/Berlin").unwrap()))
    }

    /// Five minutes, with a tick at the end of them or not.
    fn five_minutes(&mut self, is_awake: bool) {
        self.cloud.borrow_mut().pass(SignedDuration::from_mins(5));
        let works = self.works();
        if works != self.last || !is_awake {
            self.last = works;
            self.stable_since = self.cloud.borrow().now;
        }
        if is_awake {
            let run = Hands::new(&self.cloud).tick(&self.policy);
            let report = &run.report;
            assert_eq!(report.summary.failed, 0, "{report:#?}");
            self.needs.extend(report.warnings.clone());
        }
        self.check(works);
    }

    fn check(&self, works: bool) {
        let cloud = self.cloud.borrow();
        let now = cloud.now;
        // Always: nothing serves without its database, and no maximum is taken away.
        let runs = ["shop/web", "shop/worker"].map(|name| cloud.service(name).running);
        let database = cloud.database("shop-db").status.as_str();
        if runs.iter().any(|running| *running > 0) {
            let serves = matches!(database, "available" | "backing-up");
            assert!(
                serves,
                "{now}: {runs:?} run, and the database is {database}"
            );
        }
        assert_eq!(cloud.group("shop-managed").max, 6);
        assert_eq!(cloud.group("shop-plain").max, 4);
        assert_eq!(cloud.service("shop/off").desired, 0);
        if now.duration_since(self.stable_since) < SETTLED {
            return;
        }
        let web = cloud.service("shop/web");
        let scalable = web.scalable.unwrap();
        if works {
            assert_eq!((web.desired, web.running), (4, 4), "{now}");
            assert_eq!((scalable.min, scalable.max), (2, 8), "{now}");
            assert_eq!(scalable.suspended, Suspended::default(), "{now}");
            assert_eq!(cloud.service("shop/worker").running, 1, "{now}");
            assert_eq!(cloud.group("shop-managed").min, 1);
            let plain = cloud.group("shop-plain");
            assert_eq!(
                (plain.min, plain.desired, plain.in_service),
                (1, 3, 3),
                "{now}"
            );
            assert_eq!(database, "available", "{now}");
            assert!(cloud.sizes.is_empty(), "{now}: {:?}", cloud.sizes);
            let marked = cloud.resources.values().filter(|r| r.mark().is_some());
            assert_eq!(marked.count(), 0, "{now}");
        } else {
            assert_eq!((web.desired, web.running), (0, 0), "{now}");
            assert_eq!(cloud.service("shop/worker").running, 0, "{now}");
            assert_eq!(cloud.group("shop-managed").instances, 0, "{now}");
            assert_eq!(cloud.group("shop-plain").instances, 0, "{now}");
            // AWS starts it after seven days, and it takes a while to stop it again.
            let restarted = matches!(database, "starting" | "available" | "stopping");
            assert!(database == "stopped" || restarted, "{now}: {database}");
        }
    }

    fn until(&mut self, until: Timestamp, is_out: impl Fn(Timestamp) -> bool) {
        loop {
            let now = self.cloud.borrow().now;
            if now >= until {
                return;
            }
            self.five_minutes(!is_out(now));
        }
    }
}

fn at(text: &str) -> Timestamp {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let civil: jiff::civil::DateTime = text.parse().unwrap();
    civil.to_zoned(zone).unwrap().timestamp()
}

/// From autumn to January: the clock goes back, holidays, two weeks of nothing.
#[test]
fn a_quarter_of_a_year_with_outages() {
    let from = at("2026-09-28T10:00");
    let mut days = Days::new(from);
    // Outages: an evening, a night over a morning, and one over the end of October's
    // long night.
    let outages = [
        ("2026-10-06T18:00", "2026-10-06T23:30"),
        ("2026-10-14T02:00", "2026-10-14T09:15"),
        ("2026-10-24T23:00", "2026-10-26T06:00"),
        ("2026-11-11T07:00", "2026-11-11T07:40"),
    ]
    .map(|(from, until)| (at(from), at(until)));
    let is_out = |now| {
        outages
            .iter()
            .any(|(from, until)| now >= *from && now < *until)
    };
    days.until(at("2027-01-06T12:00"), is_out);

    let cloud = days.cloud.borrow();
    // Nobody was told anything: it all came to its end by itself.
    assert_eq!(days.needs, Vec::<String>::new());
    let nights = cloud.changes[&(service_arn("shop/web"), "park")];
    let mornings = cloud.changes[&(service_arn("shop/web"), "wake")];
    // 72 working days, of which weekdays in a row have a night between.
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let mut expected = 0;
    let mut day = date(2026, 9, 28);
    while day <= date(2027, 1, 5) {
        let noon = day.at(12, 0, 0, 0).to_zoned(zone.clone()).unwrap();
        expected += u32::from(people_work(&noon));
        day = day.tomorrow().unwrap();
    }
    assert_eq!((nights, mornings), (expected, expected));
    // The database has slept for eleven days, and was stopped again in between.
    let stopped = cloud.changes[&(database_arn("shop-db"), "park")];
    assert_eq!(stopped, expected + 1);
    assert_eq!(
        cloud.changes[&(database_arn("shop-db"), "snapshot")],
        expected
    );
}

/// In spring a clock goes forward, and Easter is a long weekend.
#[test]
fn the_spring_with_a_clock_that_goes_forward() {
    let mut days = Days::new(at("2027-03-22T10:00"));
    days.until(at("2027-04-03T12:00"), |_| false);
    assert_eq!(days.needs, Vec::<String>::new());
}

/// What is missed for longer than the policy catches up is left as it is, and a
/// person is told once.
#[test]
fn after_a_long_outage_a_person_is_told_once() {
    let mut days = Days::new(at("2026-11-16T10:00"));
    // From Friday at noon to Sunday.
    let (from, until) = (at("2026-11-20T12:00"), at("2026-11-22T12:00"));
    let is_out = |now| now >= from && now < until;
    days.until(until, is_out);
    // It runs all weekend, which is what a person can end by an override.
    for _ in 0..24 {
        days.cloud.borrow_mut().pass(SignedDuration::from_mins(5));
        let run = Hands::new(&days.cloud).tick(&days.policy);
        days.needs.extend(run.report.warnings.clone());
    }
    let [need] = days.needs.as_slice() else {
        panic!("{:?}", days.needs);
    };
    assert!(
        need.contains("longer ago than the policy catches up"),
        "{need}"
    );
    assert_eq!(days.cloud.borrow().service("shop/web").running, 4);
}

/// What somebody starts while the rest goes to sleep keeps what it needs.
#[test]
fn what_is_started_while_the_rest_goes_to_sleep_keeps_its_database() {
    let mut days = Days::new(at("2026-11-16T10:00"));
    days.until(at("2026-11-16T20:05"), |_| false);
    let tick = |days: &Days| {
        days.cloud.borrow_mut().pass(SignedDuration::from_mins(5));
        Hands::new(&days.cloud).tick(&days.policy)
    };
    // Services sleep, and capacity is next.
    while days.cloud.borrow().service("shop/worker").running > 0 {
        tick(&days);
    }
    {
        let mut cloud = days.cloud.borrow_mut();
        let worker = cloud
            .resources
            .get_mut(&service_arn("shop/worker"))
            .unwrap();
        let Kind::Service(worker) = &mut worker.kind else {
            panic!("{worker:?}");
        };
        worker.desired = 1;
    }
    for _ in 0..40 {
        tick(&days);
        let cloud = days.cloud.borrow();
        assert_eq!(cloud.service("shop/worker").desired, 1);
        assert_eq!(cloud.database("shop-db").status, "available");
    }
    assert_eq!(days.cloud.borrow().service("shop/web").desired, 0);
    // The morning finds it all.
    while days.cloud.borrow().now < at("2026-11-17T07:30") {
        tick(&days);
    }
    days.last = false;
    days.until(at("2026-11-17T12:00"), |_| false);
}

/// What somebody starts or resizes at night is theirs until the morning.
#[test]
fn what_is_started_by_hand_at_night_survives_until_the_morning() {
    let mut days = Days::new(at("2026-11-16T10:00"));
    days.until(at("2026-11-16T23:00"), |_| false);
    let before = days.cloud.borrow().picture();
    {
        let mut cloud = days.cloud.borrow_mut();
        let database = cloud.resources.get_mut(&database_arn("shop-db")).unwrap();
        let Kind::Database(database) = &mut database.kind else {
            panic!("{before:?}");
        };
        "starting".clone_into(&mut database.status);
    }
    for _ in 0..60 {
        days.cloud.borrow_mut().pass(SignedDuration::from_mins(5));
        Hands::new(&days.cloud).tick(&days.policy);
    }
    {
        let cloud = days.cloud.borrow();
        assert_eq!(cloud.database("shop-db").status, "available");
        let database = &cloud.resources[&database_arn("shop-db")];
        assert_eq!(database.mark(), None, "it is not parked any more");
        assert_eq!(cloud.service("shop/web").desired, 0);
    }
    days.stable_since = days.cloud.borrow().now;
    days.until(at("2026-11-17T12:00"), |_| false);
}
