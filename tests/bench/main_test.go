// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	bench "github.com/lf-edge/eve-metadata/tests/bench"
)

const output = `goos: linux
pkg: example.org/a
BenchmarkDrive/1KiB/iso9660-2         	    1000	     20.0 ns/op	   100 B/op
BenchmarkDrive/1KiB/floor-2           	    1000	     10.0 ns/op	    50 B/op
BenchmarkDrive/1KiB/iso9660-2         	    1000	     60.0 ns/op	   100 B/op
BenchmarkDrive/1KiB/floor-2           	    1000	     20.0 ns/op	    50 B/op
BenchmarkDrive/1KiB/iso9660-2         	    1000	     40.0 ns/op	   100 B/op
BenchmarkDrive/1KiB/floor-2           	    1000	     10.0 ns/op	    50 B/op
PASS
ok  	example.org/a	1.0s
pkg: example.org/b
BenchmarkDrive/1KiB/floor             	    1000	      1.0 ns/op
`

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := bench.Parse(strings.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	want := []*bench.Benchmark{
		{Package: "example.org/a", Name: "BenchmarkDrive/1KiB/iso9660", Metrics: map[string]bench.Spread{
			"ns/op": {Median: 40, Min: 20, Max: 60}, "B/op": {Median: 100, Min: 100, Max: 100}}},
		{Package: "example.org/a", Name: "BenchmarkDrive/1KiB/floor", Metrics: map[string]bench.Spread{
			"ns/op": {Median: 10, Min: 10, Max: 20}, "B/op": {Median: 50, Min: 50, Max: 50}}},
		{Package: "example.org/b", Name: "BenchmarkDrive/1KiB/floor", Metrics: map[string]bench.Spread{
			"ns/op": {Median: 1, Min: 1, Max: 1}}},
	}
	if diff := cmp.Diff(want, got.Benchmarks, cmpopts.IgnoreUnexported(bench.Benchmark{})); diff != "" {
		t.Errorf("benchmarks (-want +got):\n%s", diff)
	}
	ratio := []bench.Ratio{{
		Package: "example.org/a", Name: "BenchmarkDrive/1KiB/iso9660", To: "floor",
		Spread: bench.Spread{Median: 3, Min: 2, Max: 4},
	}}
	if diff := cmp.Diff(ratio, got.Ratios); diff != "" {
		t.Errorf("ratios (-want +got):\n%s", diff)
	}
}
