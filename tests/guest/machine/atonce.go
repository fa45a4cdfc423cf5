// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"flag"
	"os"
	"regexp"
	"runtime"
	"strconv"
)

// LimitTests has as many tests run at once as guests can (-test.parallel), unless somebody has said how many. Flags are parsed
// by then.
func LimitTests() error {
	const name = "test.parallel"
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == name })
	if said {
		return nil
	}
	return flag.Set(name, strconv.Itoa(AtOnce()))
}

// available is the memory that programs can have, in kB.
var available = regexp.MustCompile(`MemAvailable:\s+(\d+) kB`)

// AtOnce is how many guests this machine can run side by side, by its cores and the memory that is available now: at least
// one.
func AtOnce() int {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 1
	}
	found := available.FindSubmatch(text)
	if found == nil {
		return 1
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return 1
	}
	return max(1, min(runtime.NumCPU(), kilobytes/1024/(Memory+Overhead)))
}
