package dns

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"racoon2/resolver"
)

// The environment of a proxy that BenchmarkAgainst starts: where to listen and
// whom to ask.
const (
	envListen   = "RESOLVER_BENCH_LISTEN"
	envUpstream = "RESOLVER_BENCH_UPSTREAM"
)

// TestMain is the proxy as a process of its own where BenchmarkAgainst asks for
// it, so that three processes are measured alike.
func TestMain(m *testing.M) {
	if os.Getenv(envListen) == "" {
		os.Exit(m.Run())
	}
	p := New(Config{})
	up := resolver.Upstream{Addr: netip.MustParseAddrPort(os.Getenv(envUpstream))}
	p.Input(resolver.Reconfigure{Settings: &resolver.Settings{Upstreams: []resolver.Upstream{up}}})
	if err := p.Listen([]netip.AddrPort{netip.MustParseAddrPort(os.Getenv(envListen))}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {} // until it is killed
}

// BenchmarkAgainst asks the proxy, unbound and dnsmasq for what is in their
// caches: throughput with many questions on the way, latency with one. The
// last lines give the proxy's rates as multiples of the others'.
func BenchmarkAgainst(b *testing.B) {
	z := newZone(b, "127.0.0.1", "www.example.com. 86400 IN A 192.0.2.1")
	ours, unbound, dnsmasq := freePort(b), freePort(b), freePort(b)
	b.Setenv(envListen, ours.String())
	b.Setenv(envUpstream, z.addr.String())
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	daemon(b, ours, self)
	startUnbound(b, unbound, z.addr)
	startDnsmasq(b, dnsmasq, fmt.Sprintf("--server=%s#%d", z.addr.Addr(), z.addr.Port()), "--cache-size=10000")
	for _, c := range []struct {
		what            string
		clients, window int
	}{{"throughput", 4, 32}, {"latency", 1, 1}} {
		b.Run(c.what, func(b *testing.B) {
			// In turns, so that a busy host is busy for all.
			const turns = 20
			var took, worked [3]time.Duration
			for range turns {
				for i, addr := range []netip.AddrPort{ours, unbound, dnsmasq} {
					before := cpuOf(b, addr)
					took[i] += load(b, addr, max(b.N/turns, c.clients), c.clients, c.window)
					worked[i] += cpuOf(b, addr) - before
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, name := range []string{"racoon2", "unbound", "dnsmasq"} {
				b.ReportMetric(float64(b.N)/took[i].Seconds(), name+"/s")
			}
			for i, name := range []string{"racoon2", "unbound", "dnsmasq"} {
				b.ReportMetric(float64(worked[i].Nanoseconds())/float64(b.N), name+"-cpu-ns")
			}
			b.ReportMetric(float64(took[1])/float64(took[0]), "×unbound")
			b.ReportMetric(float64(took[2])/float64(took[0]), "×dnsmasq")
		})
	}
}

// cpuOf is the time of processors that a server has used, which a busy host
// changes less than the time on the clock.
func cpuOf(b *testing.B, addr netip.AddrPort) time.Duration {
	b.Helper()
	pid, _ := processes.Load(addr)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%v/schedstat", pid))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%v/task/*/schedstat", pid))
	if err != nil && len(tasks) == 0 {
		b.Fatal(err)
	}
	var sum int64
	for _, task := range tasks {
		if text, err := os.ReadFile(task); err == nil {
			stat = text
		}
		var ran int64
		if _, err := fmt.Sscan(string(stat), &ran); err != nil {
			b.Fatal(err)
		}
		sum += ran
	}
	return time.Duration(sum)
}

// load puts n questions with so many of each client on the way at a time.
func load(b *testing.B, addr netip.AddrPort, n, clients, window int) time.Duration {
	b.Helper()
	question, err := new(mdns.Msg).SetQuestion("www.example.com.", mdns.TypeA).Pack()
	if err != nil {
		b.Fatal(err)
	}
	var work sync.WaitGroup
	start := time.Now()
	for range clients {
		work.Go(func() {
			conn, err := net.Dial("udp", addr.String())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			ask(b, conn, question, n/clients, window)
		})
	}
	work.Wait()
	return time.Since(start)
}

// ask is one client.
func ask(b *testing.B, conn net.Conn, question []byte, n, window int) {
	question = append([]byte{}, question...)
	buf := make([]byte, 1500)
	sent := 0
	send := func() {
		sent++
		binary.BigEndian.PutUint16(question, uint16(sent))
		if _, err := conn.Write(question); err != nil {
			b.Error(err)
		}
	}
	for range min(window, n) {
		send()
	}
	for got := 0; got < n; got++ {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(buf); err != nil {
			b.Errorf("%v: %d of %d answers: %v", conn.RemoteAddr(), got, n, err)
			return
		}
		if sent < n {
			send()
		}
	}
}
