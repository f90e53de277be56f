package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateFlag = flag.Bool("update", false, "rewrite the transcripts in testdata")

// golden separates a scenario from the transcript that it must give.
const golden = "-- transcript --\n"

// TestTranscripts plays the scenarios in testdata and compares what happened,
// line by line, with what is written under them.
func TestTranscripts(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scenarios in testdata: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			scenario, sections, err := ParseScript(filepath.Base(name), string(text))
			if err != nil {
				t.Fatal(err)
			}
			report := Run(scenario)
			if err := report.Err(); err != nil {
				t.Fatalf("%v\n%v", report.Transcript.String(), err)
			}
			got := report.Transcript.String()
			if *updateFlag {
				head, _, _ := strings.Cut(string(text), golden)
				if err := os.WriteFile(name, []byte(head+golden+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := sections["transcript"]; got != want {
				t.Errorf("%s; rewrite with: go test ./agent/sim -run TestTranscripts -update", firstDifference(want, got))
			}
		})
	}
}

// firstDifference points at the first line in which two texts differ.
func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d:\nwant %s\ngot  %s", i+1, x, y)
		}
	}
	return "no difference"
}
