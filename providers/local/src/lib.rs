//! Real machines on this computer: systemd containers, and virtual machines.
//!
//! [`LocalKind`] is the provider. It keeps its machines in a data folder, one
//! folder each, whose record is what a cloud's database would be; there is no
//! daemon, and machines outlive the command that made them.
//!
//! | folder | holds |
//! |---|---|
//! | `machines/<name>/` | a machine: `machine.json`, its disk, its seed |
//! | `images/<id>/` | a base image, made once; the name says what it was made from |
//! | `media/<sha256>/` | files for bootstraps, each kept while a machine has it |
//! | `network.json` | the subnet of this folder's machines, while there are any |
//!
//! A machine's id is its name and eight random digits, so an id is never used
//! again; its name is derived from its batch, so a repeated `create` finds it.
//! Bridges, cgroups, network namespaces and units carry a hash of the data
//! folder's path: two folders on one computer have nothing in common but two
//! switches of the kernel, IP forwarding and the most inotify instances of a
//! user, which the last of them puts back to what they were before the first.
//!
//! This crate reads no environment variable and prints nothing.
//!
//! Invariants:
//! 1. What runs has a record: it is written before anything is started.
//! 2. Whether a machine runs is asked of the kernel, and never remembered.
//! 3. Deleting the last machine puts this computer back as it was, but for cached images.
//! 4. A machine's private files are on its seed, which only root inside and whoever owns the
//!    data folder can read, and go with it.
//!
//! On a computer that systemd runs, containers are transient units made with
//! `systemd-run`; elsewhere they are processes of their own in cgroups made here.
//! The tests passed with both: with systemd on cgroup version 2, and without it
//! on version 2 and on the mix of both. Not tried: limits on version 2, as no
//! computer at hand offered its controllers.

mod backend;
mod container;
mod digest;
mod doctor;
mod error;
mod files;
mod host;
mod image;
mod kind;
mod locks;
mod media;
mod names;
mod network;
mod provider;
mod record;
mod seed;
mod settings;
mod size;
mod store;
mod tools;
mod vm;

pub use doctor::{Check, doctor};
pub use image::{Image, ImageFile};
pub use kind::LocalKind;
pub use settings::{
    AcceleratorChoice, BackendChoice, BackendKind, LocalSettings, Protocol, Publish,
};
pub use size::Size;
