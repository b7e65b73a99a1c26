//! Prints what of CUDA this machine has: `cargo run -p cuda --example survey`.

fn main() {
    println!("{:#?}", cuda::survey());
}
