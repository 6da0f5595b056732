//! x
use crate::support::stack::*;
use meshvm_provider_sim::FaultPlan;
use meshvm::plan::Options;

#[test]
fn smoke() {
    let begun = std::time::Instant::now();
    let file = File::of([("web", Fleet::of(3).zones(&["a","b"])), ("db", Fleet::of(1))]);
    let d = file.desired();
    eprintln!("desired {:?}", begun.elapsed());
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        let world = World::new(FaultPlan::default());
        eprintln!("world {:?}", begun.elapsed());
        let begun = std::time::Instant::now();
        world.apply(&d, &Options::default(), How::default()).unwrap();
        eprintln!("apply {:?}", begun.elapsed());
        let begun = std::time::Instant::now();
        let r = world.exact(&d); world.check("exact", r);
        eprintln!("exact {:?}", begun.elapsed());
        let begun = std::time::Instant::now();
        let r = world.settled(&d); world.check("exact", r);
        eprintln!("settled {:?}", begun.elapsed());
    }
}
