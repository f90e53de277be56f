package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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

// The longest time that traffic may stand still once the network is calm: a dead peer
// is found out, which takes 51 seconds of silence with quick and 138 with what is
// built in, and another IKE SA is made, for which the packets of a flow may have to
// ask twice.
const (
	quickGap = 60 * time.Second
	slowGap  = 150 * time.Second
)

// seeded makes the scenario of a seed.
func seeded(seed uint64) Scenario {
	k := kinds[seed%uint64(len(kinds))]
	r := rand.New(rand.NewPCG(seed, 1))
	s := k.make(r)
	s.Name, s.Seed = k.name, seed
	s.Faults = bad
	// The calm is long enough for a dead IKE SA to be found out.
	s.Duration, s.Settle, s.Gap = time.Minute, 6*time.Minute, slowGap
	if strings.Contains(s.Hosts[0].Config, quick) {
		s.Gap = quickGap
	}
	s.StopInTurn = r.IntN(2) == 0
	if r.IntN(4) == 0 {
		s.Hosts[0].Shards = 3
	}
	if r.IntN(4) == 0 {
		s.Faults.Corrupt = 0.05
	}
	if seed%100 == 1 { // few, for the large group is slow
		for i := range s.Hosts {
			s.Hosts[i].Config = replaced(s.Hosts[i].Config, "curve25519", "modp2048", "")
		}
	}
	return s
}

// population is what the seeds of a protocol are played on.
type population struct {
	test     string // that plays them
	kinds    []situation
	signs    map[string][]string // of each kind, see signs
	scenario func(seed uint64) Scenario
}

var ikePopulation = population{"TestSeeds", kinds, signs, seeded}

// TestSeeds plays many seeds on a bad network: each must end with the tunnels
// up, both ends agreeing, and nothing left after the shutdown.
func TestSeeds(t *testing.T) { ikePopulation.play(t) }

// TestSameSeedSameRun plays seeds twice: the transcripts are the same.
func TestSameSeedSameRun(t *testing.T) { ikePopulation.playTwice(t) }

// TestKindsAreWhatTheySay looks for the signs of each kind in a few seeds.
func TestKindsAreWhatTheySay(t *testing.T) { ikePopulation.look(t, 5) }

// play plays the seed of the flag, or as many as the flag says.
func (p population) play(t *testing.T) {
	if *seedFlag != 0 {
		report := Run(p.scenario(*seedFlag))
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
				report := Run(p.scenario(uint64(seed)))
				if report.Err() != nil {
					t.Fatalf("%v\nagain: go test ./agent/sim -run %s -v -seed %d", report, p.test, seed)
				}
			}
		})
	}
}

// playTwice plays a seed of each kind twice, and wants one transcript.
func (p population) playTwice(t *testing.T) {
	for seed := range uint64(len(p.kinds)) {
		first, second := Run(p.scenario(seed+1)), Run(p.scenario(seed+1))
		if a, b := first.String(), second.String(); a != b {
			t.Errorf("seed %d gave two runs: %s", seed+1, firstDifference(a, b))
		}
	}
}

// look wants each sign of a kind in the transcript of one of a few seeds.
func (p population) look(t *testing.T, rounds uint64) {
	for k, kind := range p.kinds {
		missing := p.signs[kind.name]
		for round := range rounds {
			text := Run(p.scenario(uint64(k) + round*uint64(len(p.kinds)))).String()
			missing = slices.DeleteFunc(slices.Clone(missing), func(sign string) bool { return strings.Contains(text, sign) })
		}
		if len(missing) > 0 {
			t.Errorf("%s: %q was never seen", kind.name, missing)
		}
	}
}

// signs are what must be seen in the transcript of some seed of a kind: they
// show that the situation is what its name says.
var signs = map[string][]string{
	"tunnel over IPv4":            {"lost", "doubled after", "IKE_AUTH response 1"},
	"NAT between":                 {"NAT keepalive"},
	"NAT that forgets":            {"peer_moved"},
	"one side only begins":        {"N(COOKIE)"},
	"flushed and coming back":     {"child_down"},
	"reboot":                      {"INVALID_IKE_SPI"},
	"rekeying":                    {"child_rekeyed", "ike_rekeyed"},
	"rekeying behind a NAT":       {"child_rekeyed", "ike_rekeyed"},
	"rekeying after some traffic": {"child_rekeyed"},
	"groups that differ":          {"N(INVALID_KE_PAYLOAD)"},
	"failing kernels":             {"kernel refuses: out of memory"},
	"policies removed by others":  {"policy_"},

	"addresses that change, with MOBIKE":    {"tokyo moves", "child osaka_out moves to", "child tokyo_out moves to"},
	"addresses that change, without MOBIKE": {"tokyo moves", "peer_moved", "ike_deleted"},
	"MOBIKE at one end only":                {"tokyo moves", "peer_moved"},
	"a responder that changes its address":  {"child osaka_out moves to 192.0.2.1 - 192.0.2.12"},
	"paths that die":                        {"child osaka_out moves to 192.0.2.11", "no way there"},
	"NAT with other addresses":              {"child tokyo_out moves to 192.0.2.2 - 203.0.113.2"},
	"NAT with other addresses, and MOBIKE":  {"child tokyo_out moves to 192.0.2.2 - 203.0.113.2", "addresses tokyo"},
	"windows of four":                       {"child_rekeyed", "ike_rekeyed"},
	"all at once":                           {"crashes", "child_rekeyed", "peer_moved"},
}
