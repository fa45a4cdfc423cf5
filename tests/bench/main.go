// SPDX-License-Identifier: Apache-2.0

// Command bench runs every benchmark of the project and writes the figures to a file.
//
// usage: bench [-o bench.json] [-count 3] [-benchtime 200ms]
//
// Out comes JSON: for each benchmark the median of each of its metrics over the runs and their least
// and largest; and ratios. Times alone say little on another machine. So benchmarks come in families:
// where sub-benchmarks of one parent are called "floor" or "peer=NAME", every sibling is divided by
// them, run by run, and the median of the quotients is its ratio: to the least that the work can cost,
// or to another program that does it.
//
// Who reads the figures looks for:
//
//	tests/netns    BenchmarkNetwork/planned    an app network: look, plan, carry out; floor: the same calls
//	               BenchmarkManager/…          1000 networks with one app each, from configs to sockets; likewise
//	               BenchmarkPort/of=4000/…     one app more in a network of 4000, until it is told; floor: its port
//	               BenchmarkManyPorts          the same in its parts: look-ms, plan-ms, steps-ms
//	tests/service  BenchmarkScale/…            the built service with 1000 networks, and with 4000 apps in one:
//	                                           time until it is ready, and for each network or app ready-ms and
//	                                           gone-ms; memory of the service and of its DHCP and DNS servers
//	tests/guest    BenchmarkDatasource/…       the stage in which a guest in QEMU looks for its metadata, by its own log, on
//	                                           our drive and over HTTP; peer: a drive of genisoimage's
//	msrv/httpd     BenchmarkServe/…            one request; floor: a handler with the answer at hand
//	msrv/drive/…   BenchmarkDrive/…            one drive, by size; floor: the bytes copied; peer: genisoimage
//	pkg/cipher     BenchmarkOpen/…             one block of encrypted user data, by size; floor: the cryptography alone
//	pkg/pubsub/…   BenchmarkDeliver/…          one change of a topic, to who follows it
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Report is what is written.
type Report struct {
	Go, OS, Arch string
	CPUs         int
	Benchmarks   []*Benchmark
	Ratios       []Ratio
}

// Benchmark is one benchmark's figures by unit: "ns/op", "B/op", "allocs/op" and what it reports itself.
type Benchmark struct {
	Package, Name string
	Metrics       map[string]Spread

	runs map[string][]float64
}

// Spread is a figure over the runs.
type Spread struct{ Median, Min, Max float64 }

// Ratio is how many times as long one benchmark takes as another of its family.
type Ratio struct {
	Package, Name, To string
	Spread
}

func main() {
	out := flag.String("o", "bench.json", "file to write")
	count := flag.Int("count", 3, "runs of each benchmark")
	benchtime := flag.String("benchtime", "200ms", "least time of a run")
	flag.Parse()
	if err := run(context.Background(), *out, *count, *benchtime, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// long are the benchmarks of which one run takes long enough, and makes so much that the next would wait for it to go.
const long = "BenchmarkManager|BenchmarkScale"

func run(ctx context.Context, out string, count int, benchtime string, stdout io.Writer) error {
	var printed bytes.Buffer
	for _, args := range [][]string{
		{"-bench", ".", "-skip", long, "-count", strconv.Itoa(count), "./..."},
		{"-bench", long, "-count", "1", "./tests/..."},
		{"-bench", ".", "-count", strconv.Itoa(count), "-benchtime", "1x", "./tests/guest", "-guests"},
	} {
		args = append([]string{"test", "-run", "^$", "-benchmem", "-p", "1", "-timeout", "60m", "-benchtime", benchtime}, args...)
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&printed, stdout), os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("run benchmarks: %w", err)
		}
	}
	report, err := Parse(&printed)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	for _, r := range report.Ratios {
		fmt.Fprintf(stdout, "%-60s %6.2f × %s (%.2f to %.2f)\n", r.Name, r.Median, r.To, r.Min, r.Max)
	}
	return os.WriteFile(out, append(data, '\n'), 0o644)
}

// Parse reads what `go test -bench` prints, for any number of packages and runs.
func Parse(r io.Reader) (*Report, error) {
	report := &Report{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU()}
	byName := make(map[string]*Benchmark)
	pkg := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Bytes()
		if rest, ok := bytes.CutPrefix(line, []byte("pkg: ")); ok {
			pkg = string(rest)
			continue
		}
		fields := strings.Fields(string(line))
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := trimProcs(fields[0])
		b := byName[pkg+" "+name]
		if b == nil {
			b = &Benchmark{Package: pkg, Name: name, Metrics: make(map[string]Spread), runs: make(map[string][]float64)}
			byName[pkg+" "+name] = b
			report.Benchmarks = append(report.Benchmarks, b)
		}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("read figure of %s: %w", name, err)
			}
			b.runs[fields[i+1]] = append(b.runs[fields[i+1]], v)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read figures: %w", err)
	}
	for _, b := range report.Benchmarks {
		for unit, runs := range b.runs {
			b.Metrics[unit] = spread(runs)
		}
		report.Ratios = append(report.Ratios, ratios(b, report.Benchmarks)...)
	}
	return report, nil
}

// ratios compares a benchmark with the floor and the peers of its family.
func ratios(b *Benchmark, all []*Benchmark) []Ratio {
	if isMeasure(path.Base(b.Name)) {
		return nil
	}
	var out []Ratio
	for _, m := range all {
		if m.Package != b.Package || path.Dir(m.Name) != path.Dir(b.Name) || !isMeasure(path.Base(m.Name)) {
			continue
		}
		have, to := b.runs["ns/op"], m.runs["ns/op"]
		var quotients []float64
		for i := range min(len(have), len(to)) {
			quotients = append(quotients, have[i]/to[i])
		}
		if len(quotients) > 0 {
			out = append(out, Ratio{Package: b.Package, Name: b.Name, To: path.Base(m.Name), Spread: spread(quotients)})
		}
	}
	return out
}

func isMeasure(name string) bool { return name == "floor" || strings.HasPrefix(name, "peer=") }

// trimProcs takes off the "-2" that go test adds for the number of processors.
func trimProcs(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}

func spread(v []float64) Spread {
	s := slices.Sorted(slices.Values(v))
	return Spread{Median: s[len(s)/2], Min: s[0], Max: s[len(s)-1]}
}
