//! Instructions of a warp or a block as a whole, and lanes that part ways.

mod device;

use device::Argument::Pointer;
use device::{Device, kernel, random_words};

/// Runs `body` in `blocks` blocks of `threads` threads: `%r1` is the thread, `%r2` its word of
/// `input`, `%rd1` the address of `output`'s words of the thread, of which there are `words`.
fn run(body: &str, blocks: u32, threads: u32, words: u32, input: &[u32]) -> Vec<u32> {
    let device = Device::open();
    let count = blocks * threads * words;
    let (source, target) = (device.upload(input), device.allocate(4 * count as usize));
    let body = format!(
        "ld.param.u64 %rd1, [output]; ld.param.u64 %rd2, [input]; mov.u32 %r1, %tid.x;\n\
         mov.u32 %r20, %ctaid.x; mov.u32 %r21, %ntid.x; mad.lo.s32 %r20, %r20, %r21, %r1;\n\
         mad.wide.u32 %rd1, %r20, {}, %rd1; mad.wide.u32 %rd3, %r20, 4, %rd2;\n\
         ld.global.u32 %r2, [%rd3];\n{body}",
        4 * words
    );
    let text = kernel(".param .u64 output, .param .u64 input", &body);
    let arguments = [Pointer(target), Pointer(source)];
    device.run(&text, "test", [blocks, 1, 1], threads, 8192, &arguments).unwrap();
    let output = device.download(target, count as usize);
    device.free(source);
    device.free(target);
    output
}

#[test]
fn shuffles() {
    let input = random_words(64, 1);
    let shuffled = |instruction: &str| {
        let body = format!(
            "{instruction} selp.b32 %r4, 1, 0, %p1; st.global.v2.u32 [%rd1], {{%r3, %r4}};"
        );
        let output = run(&body, 1, 64, 2, &input);
        output.chunks(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
    };
    let expect = |instruction: &str, from: &dyn Fn(usize) -> Option<usize>| {
        let expected: Vec<(u32, u32)> = (0..64)
            .map(|thread| match from(thread % 32) {
                Some(lane) => (input[thread / 32 * 32 + lane], 1),
                None => (input[thread], 0),
            })
            .collect();
        assert_eq!(shuffled(instruction), expected, "{instruction}");
    };
    expect("shfl.sync.bfly.b32 %r3|%p1, %r2, 5, 31, -1;", &|lane| Some(lane ^ 5));
    expect("shfl.sync.up.b32 %r3|%p1, %r2, 3, 0, -1;", &|lane| lane.checked_sub(3));
    expect("shfl.sync.down.b32 %r3|%p1, %r2, 3, 31, -1;", &|lane| {
        Some(lane + 3).filter(|from| *from < 32)
    });
    // Segments of 8 lanes: the mask 24 in bits 8 to 12.
    expect("shfl.sync.down.b32 %r3|%p1, %r2, 3, 0x1807, -1;", &|lane| {
        Some(lane + 3).filter(|from| from / 8 == lane / 8)
    });
    expect("shfl.sync.idx.b32 %r3|%p1, %r2, 9, 31, -1;", &|_| Some(9));
    expect("shfl.sync.idx.b32 %r3|%p1, %r2, 1, 0x1807, -1;", &|lane| Some(lane / 8 * 8 + 1));
}

#[test]
fn votes_and_reductions() {
    let input: Vec<u32> = random_words(32, 2);
    let answer = |instruction: &str| {
        run(&format!("{instruction} st.global.u32 [%rd1], %r3;"), 1, 32, 1, &input)
    };
    let signs = input.iter().rev().fold(0, |bits, word| bits << 1 | word >> 31);
    let vote = "setp.lt.s32 %p1, %r2, 0; ";
    assert_eq!(answer(&format!("{vote} vote.sync.ballot.b32 %r3, %p1, -1;")), [signs; 32]);
    assert_eq!(answer(&format!("{vote} vote.sync.ballot.b32 %r3, !%p1, -1;")), [!signs; 32]);
    for (question, expected) in [("all", 0), ("any", 1), ("uni", 0)] {
        let body =
            format!("{vote} vote.sync.{question}.pred %p2, %p1, -1; selp.b32 %r3, 1, 0, %p2;");
        assert_eq!(answer(&body), [expected; 32], "{question}");
    }
    let sum = input.iter().fold(0, |sum: u32, word| sum.wrapping_add(*word));
    assert_eq!(answer("redux.sync.add.s32 %r3, %r2, -1;"), [sum; 32]);
    let least = input.iter().map(|word| *word as i32).min().unwrap();
    assert_eq!(answer("redux.sync.min.s32 %r3, %r2, -1;"), [least as u32; 32]);
    let most = *input.iter().max().unwrap();
    assert_eq!(answer("redux.sync.max.u32 %r3, %r2, -1;"), [most; 32]);
    assert_eq!(answer("activemask.b32 %r3;"), [u32::MAX; 32]);
    let some = "mov.b32 %r3, 7; setp.lt.u32 %p1, %r1, 4; @%p1 activemask.b32 %r3;";
    assert_eq!(answer(some)[..6], [15, 15, 15, 15, 7, 7]);
    // Of lanes 3, 5 and 31 the lowest is elected.
    let some = 1_u32 << 3 | 1 << 5 | 1 << 31;
    let elected = format!(
        "and.b32 %r5, %r1, 31; mov.u32 %r3, 77; mov.u32 %r6, {some}; shr.u32 %r6, %r6, %r5;\n\
         and.b32 %r6, %r6, 1; setp.ne.u32 %p1, %r6, 0; @!%p1 bra $NOT;\n\
         elect.sync %r3|%p2, {some}; @%p2 add.s32 %r3, %r3, 100;\n$NOT:"
    );
    let mut expected = [77; 32];
    (expected[3], expected[5], expected[31]) = (103, 3, 3);
    assert_eq!(answer(&elected), expected);
}

#[test]
fn lanes_that_part_ways_meet_again() {
    // Each thread adds 1 as often as its number says, odd ones 100 more; then all shuffle.
    let body = "mov.b32 %r3, 0; and.b32 %r4, %r1, 1; setp.eq.u32 %p1, %r4, 1;\n\
         mov.b32 %r5, %r1;\n\
         $LOOP: setp.eq.u32 %p2, %r5, 0; @%p2 bra $DONE;\n\
         add.s32 %r3, %r3, 1; sub.s32 %r5, %r5, 1; bra.uni $LOOP;\n\
         $DONE: @!%p1 bra $EVEN;\n\
         add.s32 %r3, %r3, 100;\n\
         $EVEN: shfl.sync.bfly.b32 %r3, %r3, 1, 31, -1;\n\
         setp.gt.u32 %p3, %r1, 39; @%p3 exit;\n\
         st.global.u32 [%rd1], %r3;";
    let output = run(body, 1, 64, 1, &[0; 64]);
    for (thread, got) in output.into_iter().enumerate() {
        let other = thread as u32 ^ 1;
        let expected = if thread < 40 { other + other % 2 * 100 } else { u32::MAX };
        assert_eq!(got, expected, "{thread}");
    }
}

#[test]
fn warps_exchange_over_shared_memory() {
    // Twice, so that warps run in both orders.
    let body = "mov.u32 %r3, dynamic; shl.b32 %r4, %r1, 2; add.s32 %r4, %r3, %r4;\n\
         mov.u32 %r5, %ntid.x; sub.s32 %r5, %r5, 1; sub.s32 %r5, %r5, %r1; shl.b32 %r5, %r5, 2;\n\
         add.s32 %r5, %r3, %r5;\n\
         st.shared.u32 [%r4], %r2; bar.sync 0; ld.shared.u32 %r6, [%r5]; bar.sync 0;\n\
         add.s32 %r6, %r6, 1; st.shared.u32 [%r4], %r6; bar.sync 0; ld.shared.u32 %r7, [%r5];\n\
         add.s32 %r7, %r7, 1; st.global.u32 [%rd1], %r7;";
    let input = random_words(300, 3);
    let output = run(body, 3, 100, 1, &input);
    let expected: Vec<u32> = input.iter().map(|word| word.wrapping_add(2)).collect();
    assert_eq!(output, expected);
}

#[test]
fn generic_addresses_reach_every_memory() {
    let body = ".local .align 8 .b8 depot[8];\n\
         mov.u32 %r3, dynamic; shl.b32 %r4, %r1, 2; add.s32 %r3, %r3, %r4;\n\
         cvt.u64.u32 %rd4, %r3; cvta.shared.u64 %rd4, %rd4;\n\
         mov.u64 %rd5, depot; cvta.local.u64 %rd5, %rd5;\n\
         st.u32 [%rd4], %r2; ld.shared.u32 %r5, [%r3]; add.s32 %r5, %r5, 1;\n\
         st.u32 [%rd5+4], %r5; cvta.to.local.u64 %rd6, %rd5; ld.local.u32 %r6, [%rd6+4];\n\
         isspacep.shared %p1, %rd4; isspacep.local %p2, %rd5; isspacep.global %p3, %rd1;\n\
         and.pred %p1, %p1, %p2; and.pred %p1, %p1, %p3; selp.b32 %r7, 1, 0, %p1;\n\
         add.s32 %r6, %r6, %r7; st.u32 [%rd1], %r6;";
    let input = random_words(64, 4);
    let expected: Vec<u32> = input.iter().map(|word| word.wrapping_add(2)).collect();
    assert_eq!(run(body, 1, 64, 1, &input), expected);
}

#[test]
fn atomics_of_every_kind() {
    // Thread by thread on one word of shared memory; the order doesn't matter to the result.
    let input = random_words(64, 5);
    let after = |first: &str, operation: &str| {
        let body = format!(
            "mov.u32 %r3, dynamic; mov.b32 %r4, {first}; st.shared.u32 [%r3], %r4; bar.sync 0;\n\
             {operation} bar.sync 0; ld.shared.u32 %r5, [%r3]; st.global.u32 [%rd1], %r5;"
        );
        run(&body, 1, 64, 1, &input)[0]
    };
    let sum = input.iter().fold(5_u32, |sum, word| sum.wrapping_add(*word));
    assert_eq!(after("5", "atom.shared.add.u32 %r6, [%r3], %r2;"), sum);
    assert_eq!(after("5", "red.shared.add.u32 [%r3], %r2;"), sum);
    let least = input.iter().map(|word| *word as i32).min().unwrap() as u32;
    assert_eq!(after("5", "atom.shared.min.s32 %r6, [%r3], %r2;"), least);
    assert_eq!(after("5", "atom.shared.max.u32 %r6, [%r3], %r2;"), *input.iter().max().unwrap());
    let all = input.iter().fold(u32::MAX, |all, word| all & word);
    assert_eq!(after("-1", "atom.shared.and.b32 %r6, [%r3], %r2;"), all);
    let any = input.iter().fold(0, |any, word| any ^ word);
    assert_eq!(after("0", "atom.shared.xor.b32 %r6, [%r3], %r2;"), any);
    assert_eq!(after("0", "atom.shared.inc.u32 %r6, [%r3], 9;"), 64 % 10);
    let swap = "atom.shared.cas.b32 %r6, [%r3], 7, 8; atom.shared.cas.b32 %r6, [%r3], 8, 9;";
    assert_eq!(after("7", swap), 9);
    assert_eq!(after("7", "atom.shared.exch.b32 %r6, [%r3], 11;"), 11);
    assert_eq!(
        after("0f40000000", "atom.shared.add.f32 %r6, [%r3], 0f3F000000;"),
        34.0_f32.to_bits()
    );
    // 1 and 2 of float16 added to each half.
    let halves = "mov.b32 %r7, 0x40003C00; atom.shared.add.noftz.f16x2 %r6, [%r3], %r7;";
    assert_eq!(after("0", halves), 0x5800_5400);
}

/// Element `place` of the words of a fragment of bfloat16 or float16: small whole numbers.
fn float_bits(value: i32, name: &str) -> u32 {
    let bits = (value as f32).to_bits();
    match name {
        "bf16" => bits >> 16,
        // Whole numbers below 2048 are normal float16.
        "f16" if value == 0 => 0,
        "f16" => (bits >> 16 & 0x8000) | (((bits & 0x7fff_ffff) >> 13) - (112 << 10)),
        _ => bits,
    }
}

/// A matrix of whole numbers between -8 and 7.
fn matrix(rows: usize, columns: usize, seed: u64) -> Vec<Vec<i32>> {
    let words = random_words(rows * columns, seed);
    words
        .chunks(columns)
        .map(|row| row.iter().map(|word| (word % 16) as i32 - 8).collect())
        .collect()
}

#[test]
fn products_by_the_layout_that_ptx_states() {
    for (shape, kind, depth, in_word) in [
        ("m16n8k8", "f16", 8, 2),
        ("m16n8k16", "f16", 16, 2),
        ("m16n8k8", "bf16", 8, 2),
        ("m16n8k16", "bf16", 16, 2),
        ("m16n8k4", "tf32", 4, 1),
        ("m16n8k8", "tf32", 8, 1),
        ("m16n8k16", "s8", 16, 4),
        ("m16n8k32", "s8", 32, 4),
    ] {
        let (a, b, c) = (matrix(16, depth, 6), matrix(depth, 8, 7), matrix(16, 8, 8));
        let bits = |value: i32| match kind {
            "s8" => value as u8 as u32,
            _ => float_bits(value, kind),
        };
        let width = 32 / in_word;
        let tiles = depth / (4 * in_word);
        let mut input = Vec::new();
        for lane in 0..32 {
            let (group, member) = (lane / 4, lane % 4);
            let word = |element: &dyn Fn(usize) -> i32| {
                (0..in_word).fold(0, |word, place| word | bits(element(place)) << (width * place))
            };
            for tile in 0..tiles {
                let column = |place| 4 * in_word * tile + in_word * member + place;
                input.push(word(&|place| a[group][column(place)]));
                input.push(word(&|place| a[group + 8][column(place)]));
            }
            for tile in 0..tiles {
                input.push(word(&|place| b[4 * in_word * tile + in_word * member + place][group]));
            }
            for (row, column) in [(0, 0), (0, 1), (8, 0), (8, 1)] {
                let value = c[group + row][2 * member + column];
                input.push(if kind == "s8" { value as u32 } else { (value as f32).to_bits() });
            }
        }
        let each = 3 * tiles + 4;
        let loads: String = (0..each)
            .map(|word| format!("ld.global.u32 %r{}, [%rd2+{}];\n", 30 + word, 4 * word))
            .collect();
        let list = |first: usize, count: usize| {
            let names: Vec<String> =
                (first..first + count).map(|word| format!("%r{}", 30 + word)).collect();
            format!("{{{}}}", names.join(", "))
        };
        let sum = if kind == "s8" { "s32" } else { "f32" };
        let body = format!(
            "mad.wide.u32 %rd2, %r1, {}, %rd2;\n{loads}\
             mma.sync.aligned.{shape}.row.col.{sum}.{kind}.{kind}.{sum} {{%r4, %r5, %r6, %r7}}, {}, {}, {};\n\
             st.global.v4.u32 [%rd1], {{%r4, %r5, %r6, %r7}};",
            4 * each,
            list(0, 2 * tiles),
            list(2 * tiles, tiles),
            list(3 * tiles, 4),
        );
        let output = run(&body, 1, 32, 4, &input);
        for row in 0..16 {
            for column in 0..8 {
                let product: i32 = (0..depth).map(|k| a[row][k] * b[k][column]).sum();
                let expected = product + c[row][column];
                let lane = row % 8 * 4 + column / 2;
                let got = output[4 * lane + row / 8 * 2 + column % 2];
                let got = if kind == "s8" { got as i32 } else { f32::from_bits(got) as i32 };
                assert_eq!(got, expected, "{shape} {kind} {row} {column}");
            }
        }
    }
}

#[test]
fn matrices_are_loaded_by_rows_or_columns() {
    let body = |modifier: &str| {
        format!(
            "mov.u32 %r3, dynamic; shl.b32 %r4, %r1, 4; add.s32 %r3, %r3, %r4;\n\
             shl.b32 %r5, %r1, 3; mad.lo.s32 %r5, %r5, 0x00010001, 0x00010000;\n\
             add.s32 %r6, %r5, 0x00020002; add.s32 %r7, %r6, 0x00020002; add.s32 %r8, %r7, 0x00020002;\n\
             st.shared.v4.u32 [%r3], {{%r5, %r6, %r7, %r8}}; bar.sync 0;\n\
             ldmatrix.sync.aligned.m8n8.x4{modifier}.shared.b16 {{%r9, %r10, %r11, %r12}}, [%r3];\n\
             st.global.v4.u32 [%rd1], {{%r9, %r10, %r11, %r12}};"
        )
    };
    // Element (row, column) of tile t is 64·t + 8·row + column.
    let element = |tile: u32, row: u32, column: u32| 64 * tile + 8 * row + column;
    let plain = run(&body(""), 1, 32, 4, &[0; 32]);
    let transposed = run(&body(".trans"), 1, 32, 4, &[0; 32]);
    for lane in 0..32 {
        for tile in 0..4 {
            let (major, minor) = (lane / 4, lane % 4 * 2);
            let place = (4 * lane + tile) as usize;
            let pair = element(tile, major, minor) | element(tile, major, minor + 1) << 16;
            assert_eq!(plain[place], pair, "{lane} {tile}");
            let pair = element(tile, minor, major) | element(tile, minor + 1, major) << 16;
            assert_eq!(transposed[place], pair, "{lane} {tile}");
        }
    }
}
