package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "play this seed alone, and print its transcript")
	seedsFlag = flag.Int("seeds", 1000, "number of seeds that TestSeeds plays")
)

// bad is the network that the seeds are played on.
var bad = Faults{
	Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Late: 3 * time.Second,
	Delay: 10 * time.Millisecond, Jitter: 40 * time.Millisecond,
}

// seeded makes the scenario of a seed.
func seeded(seed uint64) Scenario {
	k := kinds[seed%uint64(len(kinds))]
	r := rand.New(rand.NewPCG(seed, 1))
	s := k.make(r)
	s.Name, s.Seed = k.name, seed
	s.Faults = bad
	s.Duration, s.Settle = time.Minute, 90*time.Second
	s.StopInTurn = r.IntN(2) == 0
	if r.IntN(4) == 0 {
		s.Hosts[0].Shards = 3
	}
	if r.IntN(4) == 0 {
		s.Faults.Corrupt = 0.05
	}
	return s
}

// TestSeeds plays many seeds on a bad network: each must end with the tunnels
// up, both ends agreeing, and nothing left after the shutdown.
func TestSeeds(t *testing.T) {
	if *seedFlag != 0 {
		report := Run(seeded(*seedFlag))
		t.Log("\n" + report.String())
		if err := report.Err(); err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := *seedsFlag
	if testing.Short() {
		seeds = min(seeds, 50)
	}
	const chunks = 10
	for chunk := range chunks {
		t.Run(fmt.Sprintf("chunk%d", chunk), func(t *testing.T) {
			t.Parallel()
			for seed := chunk + 1; seed <= seeds; seed += chunks {
				report := Run(seeded(uint64(seed)))
				if report.Err() != nil {
					t.Fatalf("%v\nagain: go test ./agent/sim -run TestSeeds -v -seed %d", report, seed)
				}
			}
		})
	}
}

// TestSameSeedSameRun plays seeds twice: the transcripts are the same.
func TestSameSeedSameRun(t *testing.T) {
	for seed := range uint64(len(kinds)) {
		first, second := Run(seeded(seed+1)), Run(seeded(seed+1))
		if a, b := first.String(), second.String(); a != b {
			t.Errorf("seed %d gave two runs: %s", seed+1, firstDifference(a, b))
		}
	}
}
