//! Images of the user, and the base image's own making.

use std::fs;
use std::path::Path;
use std::time::Instant;

use meshvm_provider_api::{Effort, ErrorClass, Kind, NoPrivateFiles};
use meshvm_provider_local::LocalKind;
use serde_json::json;
use uuid::Uuid;

use crate::ground::{Ground, QUICK, batch, lines, run, template};

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_an_image() {
    let ground = Ground::new();
    let provider = ground.open().await;
    provider
        .prepare(&template(&json!({})), Effort::Make)
        .await
        .unwrap();
    let images = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
    let debian = fs::read_dir(&images)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.join("image.json").exists() && path.to_string_lossy().contains("debian-12")
        })
        .unwrap();
    // An image of its own making, so not in the folder that all tests share.
    fs::remove_file(ground.data_dir.join("images")).unwrap();
    let archive = ground.data_dir.join("rootfs.tar.zst");
    let root = debian.join("rootfs").display().to_string();
    let file = archive.display().to_string();
    let packed = run("tar", &["--zstd", "-cf", &file, "-C", &root, "."]);
    assert!(packed.status.success(), "{packed:?}");
    let sum = lines(&run("sha256sum", &[&file])).remove(0);
    let sha256 = sum.split(' ').next().unwrap();

    let wrong = template(&json!({"image": {"path": file, "sha256": "0".repeat(64)}}));
    let error = provider.prepare(&wrong, Effort::Make).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid, "{error}");
    assert!(error.to_string().contains(sha256), "{error}");

    let mut batch = batch(Uuid::new_v4(), 1, QUICK, Vec::new());
    batch.template = template(&json!({"image": {"path": file, "sha256": sha256}}));
    let begin = Instant::now();
    provider
        .prepare(&batch.template, Effort::Make)
        .await
        .unwrap();
    eprintln!("unpacked after {:?}", begin.elapsed());
    // It is not needed any more, wherever it was.
    fs::remove_file(&archive).unwrap();
    provider.create(&batch, &NoPrivateFiles).await.unwrap();
    let machines = ground.ready().await;
    assert_eq!(LocalKind.compare(&batch.template, &machines[0]), []);

    let empty = ground.data_dir.join("empty.tar");
    let packed = run(
        "tar",
        &["-cf", &empty.display().to_string(), "-T", "/dev/null"],
    );
    assert!(packed.status.success(), "{packed:?}");
    let sum = lines(&run("sha256sum", &[&empty.display().to_string()])).remove(0);
    let sha256 = sum.split(' ').next().unwrap();
    let unfit = template(&json!({"image": {"path": empty, "sha256": sha256}}));
    let error = provider.prepare(&unfit, Effort::Make).await.unwrap_err();
    assert!(error.to_string().contains("has no systemd"), "{error}");
    fs::remove_file(&empty).unwrap();
    let unfinished: Vec<_> = fs::read_dir(ground.data_dir.join("images"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
    ground.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_archive_is_not_found() {
    let ground = Ground::new();
    let template = template(&json!({"image": {"path": "/none.tar", "sha256": "0".repeat(64)}}));
    let error = ground
        .open()
        .await
        .prepare(&template, Effort::Make)
        .await
        .unwrap_err();
    assert_eq!(error.class, ErrorClass::NotFound, "{error}");
    ground.assert_clean("at the end").await;
}
