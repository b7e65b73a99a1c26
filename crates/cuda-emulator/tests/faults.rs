//! What a kernel must not do is found and told.

mod device;

use device::Argument::{I32, Pointer};
use device::{
    Device, Failed, ILLEGAL_ADDRESS, INVALID_PTX, LAUNCH_FAILED, MISALIGNED_ADDRESS, kernel,
};

/// Runs `body` in one block of 64 threads with the address of 256 bytes in `%rd1`, the thread in
/// `%r1` and a number in `%r2`.
fn run(body: &str, number: i32) -> Result<(), Failed> {
    let device = Device::open();
    let address = device.upload(&[0_u32; 64]);
    let outcome = run_at(&device, address, body, number);
    device.free(address);
    outcome
}

fn run_at(device: &Device, address: u64, body: &str, number: i32) -> Result<(), Failed> {
    let head = "ld.param.u64 %rd1, [address]; ld.param.u32 %r2, [number]; mov.u32 %r1, %tid.x;\n";
    let text = kernel(".param .u64 address, .param .u32 number", &format!("{head}{body}"));
    device.run(&text, "test", [1, 1, 1], 64, 1024, &[Pointer(address), I32(number)])
}

const STORE: &str = "mad.wide.u32 %rd2, %r1, 4, %rd1;\n\
     cvt.s64.s32 %rd3, %r2; add.s64 %rd2, %rd2, %rd3;\n\
     st.global.u32 [%rd2], %r1;";

#[test]
fn stores_within_the_allocation_are_done() {
    run(STORE, 0).unwrap();
}

#[test]
fn a_store_behind_the_end_names_kernel_thread_line_and_distance() {
    let failed = run(STORE, 4).unwrap_err();
    assert_eq!(
        (failed.status, failed.name.as_str()),
        (ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS")
    );
    for part in [
        "4 bytes of global",
        "0 bytes behind the end",
        "of 256 bytes",
        "kernel test",
        "thread 63,0,0",
        "st.global.u32 [%rd2], %r1",
    ] {
        assert!(failed.text.contains(part), "{} lacks {part:?}", failed.text);
    }
    assert!(cuda_emulator::last_error().is_some());
}

#[test]
fn a_load_before_the_beginning_is_found() {
    let failed = run("ld.global.u32 %r3, [%rd1+-4];", 0).unwrap_err();
    assert_eq!(failed.status, ILLEGAL_ADDRESS);
    assert!(failed.text.contains("4 bytes before an allocation"), "{}", failed.text);
}

#[test]
fn lanes_that_a_predicate_leaves_out_are_not_looked_at() {
    let body = "setp.lt.u32 %p1, %r1, 63; mad.wide.u32 %rd2, %r1, 4, %rd1;\n\
         @%p1 st.global.u32 [%rd2+4], %r1;\n@!%p1 ld.global.u32 %r3, [%rd2];";
    run(body, 0).unwrap();
}

#[test]
fn memory_that_was_freed_is_told_from_memory_that_never_was() {
    let device = Device::open();
    let address = device.upload(&[0_u32; 64]);
    device.free(address);
    let failed = run_at(&device, address, STORE, 0).unwrap_err();
    assert_eq!(failed.status, ILLEGAL_ADDRESS);
    assert!(failed.text.contains("byte 0 of 256 bytes that were freed"), "{}", failed.text);
    let failed = run_at(&device, 64, STORE, 0).unwrap_err();
    assert!(failed.text.contains("near no allocation"), "{}", failed.text);
}

#[test]
fn addresses_must_be_multiples_of_the_access() {
    let failed = run("ld.global.v2.u32 {%r3, %r4}, [%rd1+4];", 0).unwrap_err();
    assert_eq!(failed.status, MISALIGNED_ADDRESS);
    assert!(failed.text.contains("8 bytes"), "{}", failed.text);
    let failed = run("ld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [dynamic+8];", 0).unwrap_err();
    assert_eq!(failed.status, MISALIGNED_ADDRESS);
    run("ld.global.v4.u32 {%r3, %r4, %r5, _}, [%rd1+16];", 0).unwrap();
}

#[test]
fn shared_memory_ends_where_the_launch_says() {
    let body = "mov.u32 %r3, dynamic; add.s32 %r3, %r3, %r2; st.shared.u32 [%r3], %r1;";
    run(body, 1020).unwrap();
    let failed = run(body, 1024).unwrap_err();
    assert_eq!(failed.status, ILLEGAL_ADDRESS);
    assert!(failed.text.contains("shared memory"), "{}", failed.text);
}

#[test]
fn local_memory_ends_where_its_variables_do() {
    let body = ".local .align 16 .b8 depot[16];\nmov.u32 %r3, depot; add.s32 %r3, %r3, %r2;\n\
         st.local.u32 [%r3], %r1; ld.local.u32 %r4, [%r3];\n\
         mad.wide.u32 %rd2, %r1, 4, %rd1; st.global.u32 [%rd2], %r4;";
    run(body, 12).unwrap();
    assert_eq!(run(body, 16).unwrap_err().status, ILLEGAL_ADDRESS);
}

#[test]
fn memory_nobody_wrote_is_poison() {
    let device = Device::open();
    let address = device.allocate(256);
    assert_eq!(device.download::<u32>(address, 64), [u32::MAX; 64]);
    let body = "ld.shared.u32 %r3, [dynamic+64]; mad.wide.u32 %rd2, %r1, 4, %rd1;\n\
         st.global.u32 [%rd2], %r3;";
    run_at(&device, address, body, 0).unwrap();
    assert_eq!(device.download::<u32>(address, 64), [u32::MAX; 64]);
    device.free(address);
}

/// Copies 16 bytes a thread asynchronously and reads them, after `wait`.
fn copy_and_read(wait: &str) -> Vec<u32> {
    let device = Device::open();
    let values: Vec<u32> = (0..256).collect();
    let (source, target) = (device.upload(&values), device.allocate(4 * 256));
    let body = format!(
        "ld.param.u64 %rd1, [source]; ld.param.u64 %rd2, [target]; mov.u32 %r1, %tid.x;\n\
         shl.b32 %r2, %r1, 4; cvt.u64.u32 %rd3, %r2;\n\
         add.s64 %rd1, %rd1, %rd3; add.s64 %rd2, %rd2, %rd3;\n\
         mov.u32 %r3, dynamic; add.s32 %r3, %r3, %r2;\n\
         setp.lt.u32 %p1, %r1, 60; selp.b32 %r4, 16, 4, %p1;\n\
         cp.async.cg.shared.global [ %r3 + 0 ], [ %rd1 + 0 ], 0x10, %r4;\n\
         cp.async.commit_group;\n{wait}\n\
         ld.shared.v4.u32 {{%r5, %r6, %r7, %r8}}, [%r3];\n\
         st.global.v4.u32 [%rd2], {{%r5, %r6, %r7, %r8}};"
    );
    let text = kernel(".param .u64 source, .param .u64 target", &body);
    let arguments = [Pointer(source), Pointer(target)];
    device.run(&text, "test", [1, 1, 1], 64, 1024, &arguments).unwrap();
    let copied = device.download(target, 256);
    device.free(source);
    device.free(target);
    copied
}

#[test]
fn asynchronous_copies_are_poison_until_they_are_waited_for() {
    let mut values: Vec<u32> = (0..256).collect();
    for thread in 60..64 {
        values[4 * thread + 1..4 * thread + 4].fill(0);
    }
    assert_eq!(copy_and_read("cp.async.wait_group 0;"), values);
    assert_eq!(copy_and_read("cp.async.wait_all;"), values);
    assert_eq!(copy_and_read("cp.async.wait_group 1;"), [u32::MAX; 256]);
    assert_eq!(copy_and_read(""), [u32::MAX; 256]);
}

#[test]
fn an_unknown_instruction_is_named_when_the_module_is_loaded() {
    let device = Device::open();
    for (instruction, name) in [
        ("frobnicate.b32 %r1, %r2;", "frobnicate.b32"),
        ("add.frob.s32 %r1, %r2, %r3;", "add.frob.s32"),
        (
            "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%rd1, %rd2}, {%rd3}, {%rd4}, {%rd1, %rd2};",
            "m8n8k4",
        ),
        ("call.uni (%r1), sine, (%r2);", "expected"),
        ("ld.frob.global.b32 %r1, [%rd1];", "ld.frob.global"),
        ("cvt.rn.s32.f32 %r1, %r2;", "cvt.rn.s32.f32"),
    ] {
        let failed = device.load(&kernel("", instruction)).unwrap_err();
        assert_eq!((failed.status, failed.name.as_str()), (INVALID_PTX, "CUDA_ERROR_INVALID_PTX"));
        assert!(failed.text.contains(name), "{} lacks {name}", failed.text);
        assert!(failed.text.contains("PTX line 11"), "{}", failed.text);
    }
}

#[test]
fn a_barrier_that_not_all_threads_reach_is_found() {
    let body = "setp.lt.u32 %p1, %r1, 5; @%p1 bra $AROUND;\nbar.sync 0;\n$AROUND:";
    let failed = run(body, 0).unwrap_err();
    assert_eq!(failed.status, LAUNCH_FAILED);
    assert!(failed.text.contains("barrier"), "{}", failed.text);
}

#[test]
fn a_shuffle_with_absent_members_is_found() {
    let body = "setp.lt.u32 %p1, %r1, 5;\n@%p1 shfl.sync.bfly.b32 %r3, %r1, 1, 31, -1;";
    let failed = run(body, 0).unwrap_err();
    assert_eq!(failed.status, LAUNCH_FAILED);
    assert!(failed.text.contains("lane 5 is a member"), "{}", failed.text);
    run("setp.lt.u32 %p1, %r1, 4;\n@%p1 shfl.sync.bfly.b32 %r3, %r1, 1, 31, 15;", 0).unwrap();
}

#[test]
fn a_trap_is_a_fault_of_its_thread() {
    let failed = run("setp.eq.u32 %p1, %r1, 40;\n@%p1 trap;", 0).unwrap_err();
    assert_eq!(failed.status, LAUNCH_FAILED);
    assert!(failed.text.contains("thread 40,0,0"), "{}", failed.text);
}
