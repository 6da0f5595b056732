//! What a random script is made of: what people, the cloud and bad luck do to a stack.

use std::fmt;

use meshvm_provider_sim::Death;
use proptest::collection::vec;
use proptest::prelude::*;

/// The fleets of a script. `far` is in another region.
pub const FLEETS: [&str; 3] = ["db", "far", "web"];

/// One thing that happens. Machines are named by a number, taken round the fleet.
#[derive(Clone, Debug)]
pub enum Op {
    /// The file changes.
    File(usize, Edit),
    /// A fleet leaves the file, or comes back.
    Toggle(usize),
    /// Somebody applies.
    Apply(Apply),
    /// Somebody looks.
    Plan,
    /// A machine ends.
    Kill(usize, Death),
    /// Somebody changes a machine by hand: what only a new one, a restart, or nothing is needed for.
    Tamper(usize, Touch),
    /// Somebody makes a machine by hand.
    Outsider,
    /// The cloud behaves like this from now on.
    Faults(Faults),
    /// The ledger is lost.
    LoseLedger,
    /// Listings catch up.
    CatchUp,
    /// A day passes.
    Day,
}

/// A change of a fleet in the file.
#[derive(Clone, Debug)]
pub enum Edit {
    Replicas(u32),
    Zones(&'static [&'static str]),
    Image(bool),
    Size(bool),
    Tag(bool),
    Label(bool),
    Rollout(u32, u32),
    Role,
}

/// What is touched by hand.
#[derive(Clone, Copy, Debug)]
pub enum Touch {
    Image,
    Size,
    Tag,
    Label,
}

/// One apply, and how it ends.
#[derive(Clone, Debug)]
pub struct Apply {
    pub asked: Asked,
    pub parallelism: usize,
    pub end: End,
}

/// What an apply is asked beside the file.
#[derive(Clone, Debug)]
pub enum Asked {
    Nothing,
    Target(usize),
    Replace(usize),
    Forget(usize),
    Adopt,
    Destroy,
}

/// How an apply ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// By itself.
    Itself,
    /// It dies, after so many places.
    Dies(usize),
    /// It is asked to stop after so many places.
    Stops(usize),
    /// It is asked twice to stop.
    StopsAtOnce(usize),
}

/// How badly the cloud behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lag: u64,
    pub throttled: u8,
    pub unavailable: u8,
    pub lost_replies: u8,
    pub failing: u8,
    pub quota: Option<u32>,
    pub dying: bool,
}

pub fn script() -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 4..14)
}

fn op() -> impl Strategy<Value = Op> {
    let fleet = || 0..FLEETS.len();
    let machine = || 0..8_usize;
    prop_oneof![
        6 => (fleet(), edit()).prop_map(|(fleet, edit)| Op::File(fleet, edit)),
        1 => fleet().prop_map(Op::Toggle),
        12 => apply().prop_map(Op::Apply),
        1 => Just(Op::Plan),
        3 => (machine(), death()).prop_map(|(machine, death)| Op::Kill(machine, death)),
        2 => (machine(), touch()).prop_map(|(machine, touch)| Op::Tamper(machine, touch)),
        1 => Just(Op::Outsider),
        4 => faults().prop_map(Op::Faults),
        1 => Just(Op::LoseLedger),
        1 => Just(Op::CatchUp),
        1 => Just(Op::Day),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    const ZONES: [&[&str]; 4] = [&["a"], &["a", "b"], &["b", "c"], &["c", "a", "b"]];
    prop_oneof![
        4 => (0..5_u32).prop_map(Edit::Replicas),
        1 => (0..ZONES.len()).prop_map(|index| Edit::Zones(ZONES[index])),
        2 => any::<bool>().prop_map(Edit::Image),
        1 => any::<bool>().prop_map(Edit::Size),
        1 => any::<bool>().prop_map(Edit::Tag),
        1 => any::<bool>().prop_map(Edit::Label),
        2 => (0..3_u32, 0..3_u32)
            .prop_filter("a rollout that cannot move", |(surge, down)| surge + down > 0)
            .prop_map(|(surge, down)| Edit::Rollout(surge, down)),
        1 => Just(Edit::Role),
    ]
}

fn apply() -> impl Strategy<Value = Apply> {
    let asked = prop_oneof![
        12 => Just(Asked::Nothing),
        1 => (0..FLEETS.len()).prop_map(Asked::Target),
        1 => (0..8_usize).prop_map(Asked::Replace),
        1 => (0..8_usize).prop_map(Asked::Forget),
        2 => Just(Asked::Adopt),
        1 => Just(Asked::Destroy),
    ];
    let end = prop_oneof![
        4 => Just(End::Itself),
        6 => (0..60_usize).prop_map(End::Dies),
        1 => (0..60_usize).prop_map(End::Stops),
        1 => (0..60_usize).prop_map(End::StopsAtOnce),
    ];
    (asked, 1..5_usize, end).prop_map(|(asked, parallelism, end)| Apply {
        asked,
        parallelism,
        end,
    })
}

fn death() -> impl Strategy<Value = Death> {
    prop_oneof![Just(Death::Gone), Just(Death::Broken), Just(Death::Stopped)]
}

fn touch() -> impl Strategy<Value = Touch> {
    prop_oneof![
        Just(Touch::Image),
        Just(Touch::Size),
        Just(Touch::Tag),
        Just(Touch::Label),
    ]
}

fn faults() -> impl Strategy<Value = Faults> {
    let none = Faults::default();
    prop_oneof![
        2 => Just(none),
        4 => (1..30_u64).prop_map(move |lag| Faults { lag, ..none }),
        1 => (0..30_u64).prop_map(move |lag| Faults { lag, throttled: 20, unavailable: 10, ..none }),
        2 => (0..30_u64).prop_map(move |lag| Faults { lag, lost_replies: 50, ..none }),
        // So often that steps fail after all their attempts.
        1 => (0..30_u64).prop_map(move |lag| Faults { lag, lost_replies: 90, ..none }),
        1 => (0..30_u64).prop_map(move |lag| Faults { lag, failing: 30, ..none }),
        1 => (0..30_u64, 3..9_u32)
            .prop_map(move |(lag, quota)| Faults { lag, quota: Some(quota), ..none }),
        1 => (0..30_u64).prop_map(move |lag| Faults { lag, dying: true, ..none }),
    ]
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(fleet, edit) => write!(f, "the file: fleet {} {edit}", FLEETS[*fleet]),
            Self::Toggle(fleet) => {
                write!(f, "the file: fleet {} leaves, or is back", FLEETS[*fleet])
            }
            Self::Apply(apply) => write!(f, "{apply}"),
            Self::Plan => f.write_str("plan"),
            Self::Kill(machine, death) => write!(f, "machine {machine} becomes {death:?}"),
            Self::Tamper(machine, touch) => {
                write!(f, "somebody edits machine {machine}: {touch:?}")
            }
            Self::Outsider => f.write_str("somebody makes a machine by hand"),
            Self::Faults(faults) => write!(f, "the cloud: {faults:?}"),
            Self::LoseLedger => f.write_str("the ledger is lost"),
            Self::CatchUp => f.write_str("listings catch up"),
            Self::Day => f.write_str("a day passes"),
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = |new: &bool| if *new { "another" } else { "the first" };
        match self {
            Self::Replicas(replicas) => write!(f, "has {replicas} replicas"),
            Self::Zones(zones) => write!(f, "is in {zones:?}"),
            Self::Image(new) => write!(f, "has {} image", which(new)),
            Self::Size(new) => write!(f, "has {} size", which(new)),
            Self::Tag(new) => write!(f, "has {} tag", which(new)),
            Self::Label(new) => write!(f, "has {} label", which(new)),
            Self::Rollout(surge, down) => write!(f, "surges by {surge}, {down} unavailable"),
            Self::Role => f.write_str("becomes something else to the mesh"),
        }
    }
}

impl fmt::Display for Apply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            asked,
            parallelism,
            end,
        } = self;
        f.write_str("apply")?;
        match asked {
            Asked::Nothing => {}
            Asked::Target(fleet) => write!(f, " --target {}", FLEETS[*fleet])?,
            Asked::Replace(machine) => write!(f, " --replace machine {machine}")?,
            Asked::Forget(machine) => write!(f, " --forget machine {machine}")?,
            Asked::Adopt => f.write_str(" --adopt a machine made by hand")?,
            Asked::Destroy => f.write_str(", to destroy everything")?,
        }
        write!(f, ", {parallelism} at a time")?;
        match end {
            End::Itself => Ok(()),
            End::Dies(place) => write!(f, ", dies at place {place}"),
            End::Stops(place) => write!(f, ", told to stop at place {place}"),
            End::StopsAtOnce(place) => write!(f, ", told to stop at once at place {place}"),
        }
    }
}
