//! Link settings that N-API addons need.

fn main() {
    napi_build::setup();
}
