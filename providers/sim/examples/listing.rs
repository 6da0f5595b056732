//! Measures what listing a large simulated cloud costs.
//!
//! `cargo run --release -p meshvm-provider-sim --example listing -- FILE COUNT` fills FILE with
//! COUNT machines when there is no such file, and else lists what is in it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use meshvm_provider_api::{
    Batch, BatchKey, Hash, Kind, NoPrivateFiles, OpenContext, Ownership, Progress, Query, Requests,
    Shared,
};
use meshvm_provider_sim::{FaultPlan, SimCloud};
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: listing FILE COUNT".into());
    };
    let (path, count) = (PathBuf::from(file), count.parse::<u32>()?);
    let is_new = !path.exists();
    let begun = Instant::now();
    let kind = SimCloud::file(path, FaultPlan::default())?.kind();
    let settings = serde_json::json!({"tags": {"team": "a"}});
    let template = kind
        .template(&settings, Path::new(""))
        .map_err(|findings| format!("{findings:?}"))?;
    let context = OpenContext {
        data_dir: PathBuf::new(),
        requests: Requests::default(),
        progress: Progress::silent(),
        shared: Shared::default(),
    };
    let provider = kind.open(None, &template.scope, &context).await?;
    if is_new {
        for number in 0..count.div_ceil(1000) {
            let key = BatchKey(Uuid::from_u128(u128::from(number) << 96));
            let batch = Batch {
                key,
                ownership: Ownership {
                    stack: "stack".into(),
                    fleet: "fleet".into(),
                    batch: Some(key),
                    spec: Hash::of("spec"),
                    user_data: Some(Hash::of("data")),
                },
                labels: [].into(),
                zone: "a".into(),
                count: (count - number * 1000).min(1000),
                template: template.clone(),
                user_data: "data".into(),
                media: Vec::new(),
            };
            provider.create(&batch, &NoPrivateFiles).await?;
        }
    } else {
        let machines = provider.observe(&Query::Stack("stack".into())).await?;
        println!("{} machines", machines.len());
    }
    println!("{:?} in {:?}", context.requests.snapshot(), begun.elapsed());
    Ok(())
}
