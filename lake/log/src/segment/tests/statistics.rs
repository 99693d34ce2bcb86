use super::*;
use crate::format::slice::ColumnStatistics;
use crate::segment::statistics::{BOUND_BYTES_MAX, of_columns};
use proptest::prelude::{any, prop_assert, proptest};

/// Statistics of one column over batches of it.
fn of(arrays: &[ArrayRef]) -> ColumnStatistics {
    let batch = |array: &ArrayRef| RecordBatch::try_from_iter([("c", Arc::clone(array))]).unwrap();
    let batches: Vec<_> = arrays.iter().map(batch).collect();
    of_columns(&[4], &batches).pop().unwrap()
}

fn assert_bounds(arrays: &[ArrayRef], min: &[u8], max: &[u8]) {
    let statistics = of(arrays);
    assert_eq!((statistics.min.as_slice(), statistics.max.as_slice()), (min, max), "{arrays:?}");
    let nulls: usize = arrays.iter().map(|array| array.null_count()).sum();
    assert_eq!((statistics.field, usize::try_from(statistics.nulls).unwrap()), (4, nulls));
}

#[test]
fn bounds_are_icebergs_single_values_over_all_batches() {
    let two = |a: ArrayRef, b: ArrayRef| [a, b];
    assert_bounds(
        &two(Arc::new(BooleanArray::from(vec![Some(true), None])), Arc::new(BooleanArray::from(vec![false]))),
        &[0],
        &[1],
    );
    let ints = two(Arc::new(Int32Array::from(vec![Some(-2), None])), Arc::new(Int32Array::from(vec![258])));
    assert_bounds(&ints, &[0xFE, 0xFF, 0xFF, 0xFF], &[2, 1, 0, 0]);
    let longs = two(Arc::new(Int64Array::from(vec![None, Some(5)])), Arc::new(Int64Array::from(vec![-1])));
    assert_bounds(&longs, &[0xFF; 8], &[5, 0, 0, 0, 0, 0, 0, 0]);
    assert_bounds(&[Arc::new(Date32Array::from(vec![3, 1]))], &[1, 0, 0, 0], &[3, 0, 0, 0]);
    let eight = |n: i64| n.to_le_bytes();
    assert_bounds(&[Arc::new(Time64MicrosecondArray::from(vec![3, 1]))], &eight(1), &eight(3));
    let micros = TimestampMicrosecondArray::from(vec![3, -1]).with_timezone("UTC");
    assert_bounds(&[Arc::new(micros)], &eight(-1), &eight(3));
    assert_bounds(&[Arc::new(TimestampNanosecondArray::from(vec![3, -1]))], &eight(-1), &eight(3));
    let uuids = FixedSizeBinaryArray::try_from_iter([[7_u8; 16], [0xFF; 16]].into_iter()).unwrap();
    assert_bounds(&[Arc::new(uuids)], &[7; 16], &[0xFF; 16]);
}

#[test]
fn decimals_are_as_short_as_they_can_be() {
    let cases: [(i128, &[u8]); 9] = [
        (0, &[0]),
        (127, &[0x7F]),
        (128, &[0, 0x80]),
        (-1, &[0xFF]),
        (-128, &[0x80]),
        (-129, &[0xFF, 0x7F]),
        (256, &[1, 0]),
        (1 << 64, &[1, 0, 0, 0, 0, 0, 0, 0, 0]),
        (i128::MIN, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (unscaled, bytes) in cases {
        assert_bounds(&[Arc::new(Decimal128Array::from(vec![unscaled]))], bytes, bytes);
    }
    let decimals = Decimal128Array::from(vec![Some(300), None, Some(-300)]);
    assert_bounds(&[Arc::new(decimals)], &[0xFE, 0xD4], &[1, 0x2C]);
}

#[test]
fn zeros_have_signs_and_nan_is_no_bound() {
    let doubles = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    assert_bounds(&[doubles(&[0.0]), doubles(&[-0.0])], &(-0.0_f64).to_le_bytes(), &0.0_f64.to_le_bytes());
    let infinite = [doubles(&[f64::NEG_INFINITY, 3.0])];
    assert_bounds(&infinite, &f64::NEG_INFINITY.to_le_bytes(), &3.0_f64.to_le_bytes());
    assert_bounds(&[doubles(&[1.0]), doubles(&[f64::NAN])], &[], &[]);
    assert_bounds(&[doubles(&[f64::NAN])], &[], &[]);
    let reals = Arc::new(Float32Array::from(vec![Some(1.5), None, Some(-2.0)])) as ArrayRef;
    assert_bounds(&[reals], &(-2.0_f32).to_le_bytes(), &1.5_f32.to_le_bytes());
    assert_bounds(&[Arc::new(Float32Array::from(vec![1.0, -f32::NAN]))], &[], &[]);
}

#[test]
fn strings_are_cut_between_characters_and_rounded_up() {
    let cases: [(&str, &str, &str); 7] = [
        ("abc", "abc", "abc"),
        ("0123456789abcdef", "0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdefg", "0123456789abcdef", "0123456789abcdeg"),
        ("0123456789abcdéx", "0123456789abcdé", "0123456789abcdê"),
        // One more after the 16th byte would be a longer character: the one before is counted up.
        ("0123456789abcde\u{7f}x", "0123456789abcde\u{7f}", "0123456789abcdf"),
        // The code point after the last below the surrogates is the first above.
        ("0123456789abc\u{d7ff}x", "0123456789abc\u{d7ff}", "0123456789abc\u{e000}"),
        ("\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}x", "\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}", ""),
    ];
    for (string, min, max) in cases {
        assert_bounds(&[Arc::new(StringArray::from(vec![string]))], min.as_bytes(), max.as_bytes());
    }
    let two =
        [Arc::new(StringArray::from(vec!["m", ""])) as ArrayRef, Arc::new(StringArray::from(vec!["z"]))];
    assert_bounds(&two, b"", b"z");
}

#[test]
fn binaries_are_cut_and_rounded_up() {
    let binary = |bytes: &[u8]| [Arc::new(BinaryArray::from_vec(vec![bytes])) as ArrayRef];
    assert_bounds(&binary(&[1, 2]), &[1, 2], &[1, 2]);
    let mut long = [9_u8; 20];
    assert_bounds(&binary(&long), &[9; 16], &[9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 10]);
    long[1..].fill(0xFF);
    assert_bounds(&binary(&long), &long[..16], &[10]);
    assert_bounds(&binary(&[0xFF; 17]), &[0xFF; 16], &[]);
    let fixed = FixedSizeBinaryArray::try_from_iter([[1_u8; 17]].into_iter()).unwrap();
    assert_bounds(&[Arc::new(fixed)], &[1; 16], &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
}

#[test]
fn columns_of_nothing_and_nested_ones_have_nulls_only() {
    assert_bounds(&[Arc::new(Int64Array::from(vec![None, None]))], &[], &[]);
    assert_bounds(&[Arc::new(StringArray::from(Vec::<&str>::new()))], &[], &[]);
    assert_bounds(&[], &[], &[]);
    let (batches, slice, _, fields) = every_type_written(&[40, 8], Codec::None, 3);
    for (column, field) in fields.iter().enumerate() {
        let nulls: usize = batches.iter().map(|batch| batch.column(column).null_count()).sum();
        let statistics = &slice.statistics[column];
        assert_eq!(usize::try_from(statistics.nulls).unwrap(), nulls);
        assert_eq!(statistics.field, slice.columns[column]);
        assert_eq!(statistics.min.is_empty() && statistics.max.is_empty(), field.data_type().is_nested());
    }
}

proptest! {
    #[test]
    fn bounds_of_short_strings_are_the_least_and_the_greatest(
        strings in proptest::collection::vec(proptest::option::of("[ab\0]{0,16}"), 1..12),
    ) {
        let statistics = of(&[Arc::new(StringArray::from(strings.clone())) as ArrayRef]);
        let ends = (strings.iter().flatten().min(), strings.iter().flatten().max());
        let bytes = |end: Option<&String>| end.map(|end| end.as_bytes().to_vec()).unwrap_or_default();
        prop_assert!(statistics.min == bytes(ends.0) && statistics.max == bytes(ends.1), "{statistics:?}");
    }

    #[test]
    fn bounds_of_strings_hold_for_each(strings in proptest::collection::vec(any::<String>(), 1..6)) {
        let statistics = of(&[Arc::new(StringArray::from(strings.clone()))]);
        prop_assert!(std::str::from_utf8(&statistics.max).is_ok());
        prop_assert!(statistics.min.len().max(statistics.max.len()) <= BOUND_BYTES_MAX);
        for string in strings {
            prop_assert!(statistics.min.as_slice() <= string.as_bytes());
            prop_assert!(statistics.max.is_empty() || string.as_bytes() <= statistics.max.as_slice());
        }
    }

    #[test]
    fn bounds_of_binaries_hold_for_each(
        binaries in proptest::collection::vec(
            proptest::collection::vec(proptest::prop_oneof![any::<u8>(), 0xFE_u8..], 0..24), 1..6),
    ) {
        let array = BinaryArray::from_vec(binaries.iter().map(Vec::as_slice).collect());
        let statistics = of(&[Arc::new(array)]);
        prop_assert!(statistics.min.len().max(statistics.max.len()) <= BOUND_BYTES_MAX);
        for binary in binaries {
            prop_assert!(statistics.min <= binary);
            prop_assert!(statistics.max.is_empty() || binary <= statistics.max);
        }
    }
}
