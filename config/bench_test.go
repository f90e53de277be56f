package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// BenchmarkLoad reads configurations of growing size; the time for each remote
// stays the same.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		text := manyRemotes(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			runtime.GC()
			peak, spent := peakHeap(), time.Duration(0)
			for b.Loop() {
				runtime.GC() // what the last round left behind is not this one's
				start := time.Now()
				if _, fs := one(b, text); fs.HasErrors() {
					b.Fatal(report(fs[:min(3, len(fs))]))
				}
				spent += time.Since(start)
			}
			each, most := spent/time.Duration(b.N), peak()
			b.ReportMetric(float64(each.Nanoseconds())/float64(n), "ns/remote")
			b.ReportMetric(float64(most)/1e6, "MB-peak")
			if each > 2*time.Second || most > 200e6 {
				b.Errorf("%d remotes take %v and %d MB", n, each, most/1e6)
			}
		})
	}
}

// manyRemotes is a configuration of n remotes, each with selectors, a policy and
// a pool.
func manyRemotes(n int) string {
	var text strings.Builder
	text.WriteString(`setval { PSKDIR "/etc/racoon2/psk"; };
default { remote { ikev2 { my_id fqdn "a.example.org"; kmp_enc_alg { aes_gcm; aes256_cbc; }; }; }; };` + "\n")
	for i := range n {
		fmt.Fprintf(&text, `remote r%[1]d { ikev2 { peers_id fqdn "r%[1]d.example.org"; peers_ipaddr 10.%[2]d.%[3]d.1; pre_shared_key "${PSKDIR}/r%[1]d"; provide { addresspool p%[1]d; }; }; };
addresspool p%[1]d { 172.%[2]d.%[3]d.1 - 172.%[2]d.%[3]d.9; };
selector out%[1]d { direction outbound; src 192.168.0.0/16; dst 10.%[2]d.%[3]d.0/24; policy_index t%[1]d; };
selector in%[1]d { direction inbound; src 10.%[2]d.%[3]d.0/24; dst 192.168.0.0/16; policy_index t%[1]d; };
policy t%[1]d { remote_index r%[1]d; };
`, i, i/256, i%256)
	}
	return text.String()
}

// peakHeap watches the heap until the returned function is called, which gives
// the most octets that were in use.
func peakHeap() func() uint64 {
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-stop:
				done <- most
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-done
	}
}

// TestManyRemotes holds that a large configuration is read with nothing wrong in
// it, and that its selectors are told apart.
func TestManyRemotes(tt *testing.T) {
	const n = 2000
	c, fs := one(tt, manyRemotes(n))
	if len(c.Remotes) != n || len(c.Pairs()) != n || fs.HasErrors() {
		tt.Errorf("%d remotes, %d pairs, %d findings", len(c.Remotes), len(c.Pairs()), len(fs))
	}
	for _, f := range fs {
		if f.Code != "no-effect" && f.Code != "too-many-findings" { // provide
			tt.Fatalf("finding: %s", f)
		}
	}
}
