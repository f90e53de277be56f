package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
)

// FuzzLoad loads two files that may include one another and themselves. Whatever
// they hold there is no panic, memory is bounded by the input, and a model
// without errors is whole. The bound of files is small, so that a run is short;
// TestMemoryIsBounded has the crowds.
func FuzzLoad(f *testing.F) {
	for _, s := range loadSeeds(f) {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 8<<10 {
			return
		}
		opts := Options{FS: Files{"a.conf": a, "b.conf": b}, LookupEnv: homeOnly, maxFiles: 8}
		c, fs := loadBounded(t, opts, len(a)+len(b))
		if err := fs.WriteText(io.Discard); err != nil {
			t.Fatal(err)
		}
		if err := fs.WriteJSON(io.Discard); err != nil {
			t.Fatal(err)
		}
		if !fs.HasErrors() {
			checkWhole(t, c)
		}
	})
}

// FuzzShow shows the files that FuzzLoad loads, in one of both ways, and compares
// the model with itself.
func FuzzShow(f *testing.F) {
	for _, s := range loadSeeds(f) {
		f.Add(s[0], s[1], true)
		f.Add(s[0], s[1], false)
	}
	f.Fuzz(func(t *testing.T, a, b string, effective bool) {
		if len(a)+len(b) > 8<<10 {
			return
		}
		opts := Options{FS: Files{"a.conf": a, "b.conf": b}, LookupEnv: homeOnly, maxFiles: 8}
		if !effective {
			c, _ := Load("a.conf", opts)
			if !Diff(c, c).Empty() {
				t.Error("a configuration differs from itself")
			}
		}
		Show("a.conf", opts, effective)
	})
}

// homeOnly is an environment with one variable.
func homeOnly(name string) (string, bool) { return "/home", name == "HOME" }

// loadSeeds are pairs of files, of which the first may include the second as b.conf.
func loadSeeds(tb testing.TB) [][2]string {
	tb.Helper()
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		return string(data)
	}
	var seeds [][2]string
	for pattern, vals := range map[string]string{
		"../testdata/racoon2/*.conf": read("../testdata/racoon2/vals.conf"),
		"testdata/broken/*.conf":     "",
	} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			tb.Fatal(err)
		}
		for _, name := range names {
			text := read(name)
			if vals != "" {
				text = "include \"b.conf\";\n" + text
			}
			seeds = append(seeds, [2]string{text, vals})
		}
	}
	return append(seeds,
		[2]string{minimal, ""},
		[2]string{everything, read("../testdata/racoon2/default.conf")},
		[2]string{`include "*.conf"; include "~/x"; include "${A}";`, `setval { A "${A}"; B "$[HOME]"; };`},
		[2]string{`include "b.conf";`, `include "a.conf"; include "b.conf";`},
		[2]string{strings.Repeat(`include "b.conf"; `, 10), minimal},
	)
}

// The bound of what a load may allocate: for each octet of the files, which may
// be substituted, and each read again by inclusion, and besides.
const (
	allocPerOctet = 20000
	allocBesides  = 256 << 20
)

// allocated is what this process has ever allocated, in octets.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// loadBounded loads a.conf and holds the load to its bounds of memory and findings.
func loadBounded(tb testing.TB, opts Options, octets int) (*Config, Findings) {
	tb.Helper()
	before := allocated()
	c, fs := Load("a.conf", opts)
	if used := allocated() - before; used > allocBesides+allocPerOctet*uint64(octets) {
		tb.Fatalf("%d octets of configuration took %d octets of memory", octets, used)
	}
	if len(fs) > 3*(maxFindings+1) {
		tb.Fatalf("%d findings", len(fs))
	}
	return c, fs
}

// crowd is a file system in memory with more files below many/ than may be read.
type crowd struct{ Files }

func (c crowd) ReadFile(name string, owned bool) ([]byte, error) {
	if strings.HasPrefix(filepath.Clean(name), "many/") {
		return []byte("include \"a.conf\";"), nil
	}
	return c.Files.ReadFile(name, owned)
}

func (c crowd) Glob(pattern string) ([]string, error) {
	if !strings.HasPrefix(filepath.Clean(pattern), "many/") {
		return c.Files.Glob(pattern)
	}
	names := make([]string, maxFiles+500)
	for i := range names {
		names[i] = fmt.Sprintf("many/%d", i)
	}
	return names, nil
}

// TestMemoryIsBounded loads what includes far more than it should, and every
// seed of the fuzz target: memory is bounded by the input.
func TestMemoryIsBounded(t *testing.T) {
	for _, s := range append(loadSeeds(t),
		[2]string{`include "many/*";`, ``},
		[2]string{`include "b.conf"; include "many/*"; include "many/?";`, `include "many/1";`},
		[2]string{strings.Repeat("include \"b.conf\";\n", 1000), everything},
		[2]string{strings.Repeat("include \"many/*\";\n", 100), ""},
		[2]string{strings.Repeat("include \"*\";\n", 100), strings.Repeat("include \"*\";\n", 100)},
	) {
		octets := len(s[0]) + len(s[1])
		opts := Options{FS: crowd{Files{"a.conf": s[0], "b.conf": s[1]}}, LookupEnv: homeOnly}
		loadBounded(t, opts, octets)
	}
}

// checkWhole holds a model without errors to what its users rely on.
func checkWhole(t *testing.T, c *Config) {
	t.Helper()
	for _, r := range c.Remotes {
		if r.Disabled != (len(r.AcceptableKMP) == 0) || r.Disabled && r.Reason == "" {
			t.Errorf("remote %q: disabled %v, accepts %v, reason %q", r.Name, r.Disabled, r.AcceptableKMP, r.Reason)
		}
		if r.Disabled {
			continue
		}
		if k := r.KINK; slices.Contains(r.AcceptableKMP, KMPKINK) && (k == nil || len(k.EncTypes) == 0 ||
			k.NonceSize < 8 || k.NonceSize > 256 || k.MaxRetryToSend < 1 || k.IntervalToSend <= 0 || k.UserToUser == 0 || k.AESSHA1PRF == 0) {
			t.Errorf("remote %q is not whole: %+v", r.Name, k)
		}
		k := r.IKEv2
		if k == nil && slices.Equal(r.AcceptableKMP, []KMP{KMPKINK}) {
			continue
		}
		if k == nil || len(k.MyID) == 0 || k.PreSharedKey == "" || len(k.Proposals) == 0 ||
			k.NonceSize < 16 || k.NonceSize > 256 || k.MaxRetryToSend < 1 || k.TimesPerSend < 1 || k.IntervalToSend <= 0 {
			t.Errorf("remote %q is not whole: %+v", r.Name, k)
			continue
		}
		for _, p := range k.Proposals {
			if len(p.Encr) == 0 || len(p.PRF) == 0 || len(p.KE) == 0 {
				t.Errorf("remote %q: proposal %+v", r.Name, p)
			}
		}
	}
	for _, p := range c.Policies {
		if p.Disabled && p.Reason == "" || p.Action == 0 || p.Mode == 0 || p.Level == 0 {
			t.Errorf("policy %q: %+v", p.Name, p)
		}
		if p.Disabled || p.Action != ActionAutoIPsec {
			continue
		}
		if p.Remote == nil || p.Remote.Disabled || len(p.IPsecs) == 0 || p.Mode == ModeTunnel && p.PeersSAIPAddr == nil {
			t.Errorf("policy %q is not whole: %+v", p.Name, p)
		}
		for _, i := range p.IPsecs {
			for _, sa := range i.SAs {
				if !i.Disabled && (sa.Disabled || len(sa.Proposals) == 0) {
					t.Errorf("policy %q: ipsec %q: sa %+v", p.Name, i.Name, sa)
				}
			}
		}
	}
	for _, s := range c.Selectors {
		if s.Policy == nil || s.Direction == 0 || len(s.Src) == 0 || len(s.Dst) == 0 || s.Disabled != s.Policy.Disabled {
			t.Errorf("selector %q is not whole: %+v", s.Name, s)
		}
		if s.Reverse != nil && s.Reverse.Direction == s.Direction {
			t.Errorf("selector %q and its reverse go the same way", s.Name)
		}
		for _, a := range append(s.Src, s.Dst...) {
			wild := !c.Resolver.On && (a.Name == "" || strings.HasPrefix(a.Name, "*."))
			if a.Kind != AddressInet && a.Kind != AddressMacro && (a.Kind != AddressFQDN || wild) {
				t.Errorf("selector %q: address %+v", s.Name, a)
			}
		}
	}
}

// TestFuzzSeedsReach keeps the seeds broad: they must meet most findings.
func TestFuzzSeedsReach(t *testing.T) {
	names, err := filepath.Glob("testdata/broken/*.conf")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d broken files: %v", len(names), err)
	}
	seen := map[string]bool{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, fs := one(t, string(data))
		for _, f := range fs {
			seen[f.Code] = true
		}
	}
	if len(seen) < 30 {
		t.Errorf("the broken files meet %d kinds of findings: %s", len(seen), strings.Join(keys(seen), " "))
	}
}
