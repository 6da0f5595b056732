//! A cloud to try meshvm's `aws` provider on: moto behind the proxy, until Ctrl-C.
//!
//! Prints what to set in the shell that meshvm runs in, and, in the end, which calls were made.

use std::io;

use meshvm_ec2::{Manners, Moto, Proxy};

#[tokio::main]
async fn main() -> io::Result<()> {
    let moto = Moto::start();
    let proxy = Proxy::start(moto.address(), Manners::default()).await;
    println!(
        "An EC2 of your own, until Ctrl-C. In the shell that meshvm runs in:\n\n\
         export AWS_ENDPOINT_URL={}\n\
         export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_REGION=eu-west-1\n\
         export AWS_EC2_METADATA_DISABLED=true AWS_ALLOW_HTTP=true\n",
        proxy.endpoint()
    );
    tokio::signal::ctrl_c().await?;
    println!("\nCalls that were made:");
    for (name, count) in proxy.calls() {
        println!("{count:>7}  {name}");
    }
    Ok(())
}
