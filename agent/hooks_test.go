package agent

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kernel/trace"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func ts(from, to string, low, high uint16, protocol uint8) []message.TrafficSelector {
	return []message.TrafficSelector{{Protocol: protocol, StartPort: low, EndPort: high, Start: addr(from), End: addr(to)}}
}

// The environment is the original's to the octet.
func TestHookEnvironment(t *testing.T) {
	ike := ikeEnv(netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("[::ffff:198.51.100.7]:4500"))
	if got, want := strings.Join(ike, "|"), "LOCAL_ADDR=192.0.2.1|LOCAL_PORT=500|REMOTE_ADDR=198.51.100.7|REMOTE_PORT=4500"; got != want {
		t.Errorf("IKE SA: %s\nwant    %s", got, want)
	}
	moved := migrationEnv(addr("192.0.2.1"), addr("198.51.100.7"), addr("2001:db8::1"), addr("2001:db8::2"))
	if got, want := strings.Join(moved, "|"), "OLD_SRC=192.0.2.1|OLD_DST=198.51.100.7|NEW_SRC=2001:db8::1|NEW_DST=2001:db8::2"; got != want {
		t.Errorf("migration: %s\nwant       %s", got, want)
	}
	const none = "|INTERNAL_ADDR4=|INTERNAL_DNS4=|INTERNAL_WINS4=|INTERNAL_DHCP4=|INTERNAL_ADDR6=|INTERNAL_DNS6=|INTERNAL_DHCP6=|APPLICATION_VERSION="
	for _, test := range []struct {
		child ikev2.ChildInfo
		want  string
	}{
		{ikev2.ChildInfo{
			Name: "out", Mode: kernel.Tunnel, Local: addr("192.0.2.1"), Remote: addr("198.51.100.7"),
			TSLocal: ts("10.1.0.0", "10.1.255.255", 0, 65535, 0), TSRemote: ts("10.2.0.7", "10.2.0.7", 0, 65535, 0),
		}, "LOCAL_ADDR=192.0.2.1|REMOTE_ADDR=198.51.100.7|SELECTOR_INDEX=out|IPSEC_MODE=tunnel|" +
			"LOCAL_NET_ADDR=10.1.0.0|LOCAL_NET_PREFIXLEN=16|LOCAL_NET_PORT=0|REMOTE_NET_ADDR=10.2.0.7|REMOTE_NET_PREFIXLEN=32|REMOTE_NET_PORT=0|UPPER_LAYER_PROTOCOL=any"},
		{ikev2.ChildInfo{
			Name: "six", Mode: kernel.Transport, Local: addr("2001:db8::1"), Remote: addr("2001:db8::2"),
			TSLocal: ts("2001:db8::1", "2001:db8::1", 1701, 1701, 17), TSRemote: ts("2001:db8::", "2001:db8::ffff", 1024, 2047, 17),
		}, "LOCAL_ADDR=2001:db8::1|REMOTE_ADDR=2001:db8::2|SELECTOR_INDEX=six|IPSEC_MODE=transport|" +
			"LOCAL_NET_ADDR=2001:db8::1|LOCAL_NET_PREFIXLEN=128|LOCAL_NET_PORT=1701|REMOTE_NET_ADDR=2001:db8::|REMOTE_NET_PREFIXLEN=112|REMOTE_NET_PORT=1024|UPPER_LAYER_PROTOCOL=17"},
		{ikev2.ChildInfo{ // a range that is no network
			Name: "range", Mode: kernel.Tunnel, Local: addr("192.0.2.1"), Remote: addr("198.51.100.7"),
			TSLocal: ts("10.1.0.5", "10.1.0.9", 0, 65535, 0), TSRemote: ts("0.0.0.0", "255.255.255.255", 0, 65535, 0),
		}, "LOCAL_ADDR=192.0.2.1|REMOTE_ADDR=198.51.100.7|SELECTOR_INDEX=range|IPSEC_MODE=tunnel|" +
			"LOCAL_NET_ADDR=10.1.0.0|LOCAL_NET_PREFIXLEN=28|LOCAL_NET_PORT=0|REMOTE_NET_ADDR=0.0.0.0|REMOTE_NET_PREFIXLEN=0|REMOTE_NET_PORT=0|UPPER_LAYER_PROTOCOL=any"},
	} {
		if got := strings.Join(ikeHookChild(test.child).env(), "|"); got != test.want+none {
			t.Errorf("child %s:\n%s, want\n%s", test.child.Name, got, test.want+none)
		}
	}
	c := hookChild{
		local: addr("192.0.2.1"), remote: addr("198.51.100.7"), selector: "rw", mode: kernel.Tunnel,
		net: hookNet{netip.MustParsePrefix("0.0.0.0/0"), 0}, peerNet: hookNet{netip.MustParsePrefix("10.9.0.1/32"), 0},
		leased: []netip.Addr{addr("fd00::1"), addr("10.9.0.1")},
		given: hookGiven{
			addr4: []netip.Addr{addr("10.8.0.1")}, dns4: []netip.Addr{addr("10.8.0.53"), addr("10.8.0.54")}, dns6: []netip.Addr{addr("fd00::53")},
			version: "evil\n\x00$(reboot)",
		},
	}
	want := "|UPPER_LAYER_PROTOCOL=any|INTERNAL4_ADDR=10.9.0.1|INTERNAL6_ADDR=fd00::1|INTERNAL_ADDR=fd00::1|INTERNAL_ADDR4=10.8.0.1|" +
		"INTERNAL_DNS4=10.8.0.53 10.8.0.54|INTERNAL_WINS4=|INTERNAL_DHCP4=|INTERNAL_ADDR6=|INTERNAL_DNS6=fd00::53|INTERNAL_DHCP6=|APPLICATION_VERSION=evil??$(reboot)"
	if got := strings.Join(c.env(), "|"); !strings.HasSuffix(got, want) {
		t.Errorf("with a configuration payload:\n%s, want the end\n%s", got, want)
	}
}

// gate is a runner of hooks that waits to be let go.
type gate struct {
	mu      sync.Mutex
	began   []string
	running int
	most    int
	free    chan struct{}
}

func (g *gate) run(ctx context.Context, h hook) {
	g.mu.Lock()
	g.began = append(g.began, h.peer+" "+h.path)
	g.running++
	g.most = max(g.most, g.running)
	g.mu.Unlock()
	select {
	case <-g.free:
	case <-ctx.Done():
	}
	g.mu.Lock()
	g.running--
	g.mu.Unlock()
}

func TestHooksOfOnePeerKeepTheirOrder(t *testing.T) {
	g := &gate{free: make(chan struct{})}
	h := newHooks(g.run, func(one hook) { t.Errorf("%v is lost", one) })
	const peers, each = 40, 5
	for n := range each {
		for p := range peers {
			h.add(hook{remote: "r", peer: fmt.Sprint(p), path: fmt.Sprint(n)})
		}
	}
	close(g.free)
	h.end(t.Context(), time.Minute)
	seen := make(map[string]int)
	for _, one := range g.began {
		peer, n, _ := strings.Cut(one, " ")
		if n != fmt.Sprint(seen[peer]) {
			t.Errorf("hook %s of peer %s is number %d", n, peer, seen[peer])
		}
		seen[peer]++
	}
	if len(g.began) != peers*each || g.most > maxHooksRunning {
		t.Errorf("%d ran, at most %d at once", len(g.began), g.most)
	}
	if len(h.waiting) > 0 {
		t.Errorf("%d peers are remembered", len(h.waiting))
	}
}

// Too many are lost, and at the end nobody waits for what hangs.
func TestHooksAreBounded(t *testing.T) {
	g := &gate{free: make(chan struct{})}
	var lost atomic.Int64
	h := newHooks(g.run, func(hook) { lost.Add(1) })
	for range maxHooksWaiting {
		h.add(hook{remote: "r", peer: "one that floods"})
	}
	if n := lost.Load(); n != maxHooksWaiting-maxHooksOfPeer-1 { // one runs
		t.Errorf("%d lost of one peer, want %d", n, maxHooksWaiting-maxHooksOfPeer-1)
	}
	for i := range 2 * maxHooksWaiting {
		h.add(hook{remote: "r", peer: fmt.Sprint(i / 2)})
	}
	taken := int64(maxHooksWaiting + maxHooksRunning)
	if n := 3*maxHooksWaiting - lost.Load(); n != taken {
		t.Errorf("%d taken, want %d", n, taken)
	}
	h.end(t.Context(), 10*time.Millisecond)
	for lost.Load() < 3*maxHooksWaiting-maxHooksRunning {
		time.Sleep(time.Millisecond)
	}
	if g.running != 0 {
		t.Errorf("%d running at the end", g.running)
	}
	h.add(hook{})
	if lost.Load() != 3*maxHooksWaiting-maxHooksRunning+1 {
		t.Error("a hook is taken after the end")
	}
}

// hookSaid collects what the runner of hooks says.
type hookSaid struct {
	mu    sync.Mutex
	lines []string
}

func (s *hookSaid) say(_ hook, tag trace.Tag, reason, text string, _ ...trace.Attr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, strings.TrimSpace(tag.String()+" "+reason+" "+text))
}

// script writes a program that a hook may run.
func script(t *testing.T, dir, name, body string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// A hook gets exactly its environment, its path and event, / and nothing to read.
func TestHookProcess(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SECRET", "of the agent")
	path := script(t, dir, "up", `exec 3>"`+dir+`/got"
/bin/cat /proc/$$/environ >&3
echo >&3
/bin/tr '\0' ' ' </proc/$$/cmdline >&3
/bin/readlink /proc/$$/cwd /proc/$$/fd/0 >&3
echo to stdout
echo to stderr >&2
printf 'no end'`)
	var s hookSaid
	env := []string{"B=2", "A=1", "EMPTY=", "TEXT=two words"}
	execHook{s.say}.run(t.Context(), hook{path: path, event: config.EventPhase2Up, env: env})
	b, err := os.ReadFile(filepath.Join(dir, "got"))
	if err != nil {
		t.Fatal(err, s.lines)
	}
	environ, rest, _ := strings.Cut(string(b), "\n")
	if environ != strings.Join(env, "\x00")+"\x00" {
		t.Errorf("environment %q", environ)
	}
	if want := "/bin/sh " + path + " phase2_up /\n/dev/null\n"; rest != want {
		t.Errorf("got %q, want %q", rest, want)
	}
	want := []string{"INFO  script says: to stdout", "INFO  script says: to stderr", "INFO  script says: no end", "DEBUG hook a script was run"}
	if !slices.Equal(s.lines, want) {
		t.Errorf("said %q", s.lines)
	}
}

func TestHookFails(t *testing.T) {
	dir := t.TempDir()
	var s hookSaid
	run := func(ctx context.Context, body string) string {
		s.lines = nil
		execHook{s.say}.run(ctx, hook{path: script(t, dir, "hook", body), event: config.EventPhase1Up})
		return strings.Join(s.lines, "; ")
	}
	if got := run(t.Context(), "exit 3"); got != "INTERNAL_ERR hook_failed a script failed: exit status 3" {
		t.Error(got)
	}
	// It is killed with what it has started.
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	if got := run(ctx, `/bin/sleep 600 & echo $! >"`+dir+`/pid"; wait`); !strings.Contains(got, "hook_failed a script is killed: it ran for") {
		t.Error(got)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	for gone := false; !gone; time.Sleep(time.Millisecond) {
		state, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		gone = err != nil || strings.Contains(string(state), ") Z ")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if got := run(ended, "exit 0"); !strings.Contains(got, "the agent ends") {
		t.Error(got)
	}
	// What it leaves behind holds up nothing, though it holds the output.
	if got := run(t.Context(), "/bin/sleep 30 & echo $! >\""+dir+"/pid\"\nexit 0"); got != "DEBUG hook a script was run" {
		t.Error(got)
	}
	pid, err = os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := os.FindProcess(atoi(t, strings.TrimSpace(string(pid)))); err == nil {
		p.Kill()
	}
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestHookOutputIsBounded(t *testing.T) {
	var lines []string
	o := &hookOutput{line: func(s string) { lines = append(lines, s) }}
	for range 3 * maxHookLines {
		fmt.Fprintf(o, "%s\r\n", strings.Repeat("x", 3*maxHookLine))
	}
	o.end()
	if len(lines) != maxHookLines+1 || len(lines[0]) != maxHookLine || lines[maxHookLines] != "200 more lines are not logged" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestCheckScript(t *testing.T) {
	dir := t.TempDir()
	good := script(t, dir, "good", "")
	if err := os.Symlink(good, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{
		script(t, dir, "group", ""): 0o770, script(t, dir, "others", ""): 0o707, script(t, dir, "plain", ""): 0o600,
		script(t, dir, "foreign", ""): 0o755, script(t, open, "in", ""): 0o755, open: 0o777,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"good": "", "link": "", "group": "others may write it (mode 0770)", "others": "others may write it (mode 0707)",
		"plain": "it is not executable", "none": "no such file", "open": "it is not a regular file", "open/in": "its folder " + open + ": others may write it",
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(dir, "foreign"), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		want["foreign"] = "it belongs to user 12345, not to root or this one (0)"
	}
	for name, text := range want {
		err := checkScript(filepath.Join(dir, name))
		if (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", name, err, text)
		}
	}
	if err := checkScript("good"); err == nil {
		t.Error("a relative path was taken")
	}
}

func TestScriptFindings(t *testing.T) {
	a, _ := newPair(t)
	a.edit("nat_traversal off;", `nat_traversal off; script { child_up "/no/such"; ike_sa_down "`+script(t, a.dir, "fine", "")+`"; };`)
	found := Check(filepath.Join(a.dir, "racoon2.conf"), CheckOptions{})
	if len(found) != 1 || !strings.Contains(found[0].String(), "error: the script of phase2_up, /no/such, is not run: no such file or directory [script]") || found[0].Pos.Line == 0 {
		t.Errorf("%v", found)
	}
}

// hooked has a host write its events into a file.
func (h *host) hooked() {
	h.t.Helper()
	path := script(h.t, h.dir, "hook", `{ echo "$1"; /bin/tr '\0' '\n' </proc/$$/environ; echo; } >>"`+h.dir+`/events"`)
	var words strings.Builder
	for event := config.EventPhase1Up; event <= config.EventMigration; event++ {
		fmt.Fprintf(&words, "%v %q; ", event, path)
	}
	h.edit("nat_traversal off;", "nat_traversal off; script { "+words.String()+"};")
}

// events are what its hooks were run for.
func (h *host) events() []string {
	b, err := os.ReadFile(filepath.Join(h.dir, "events"))
	if err != nil {
		return nil
	}
	blocks := strings.Split(string(b), "\n\n")
	return blocks[:len(blocks)-1] // the last has no end yet
}

// awaitEvents waits until so many hooks have run.
func (h *host) awaitEvents(n int) []string {
	h.t.Helper()
	for range 60000 {
		if got := h.events(); len(got) >= n {
			return got
		}
		time.Sleep(time.Millisecond)
	}
	h.t.Fatalf("%d hooks have run, want %d", len(h.events()), n)
	return nil
}

// Two agents run their scripts from the first IKE SA to the orderly end.
func TestHooksOfAgents(t *testing.T) {
	a, b := newPair(t)
	a.hooked()
	b.hooked()
	a.start()
	b.start()
	a.send(b)
	a.awaitEvents(2)
	b.awaitEvents(2)
	if err := (commands{a.agent}).RekeySA(uint64(a.children()[0])); err != nil {
		t.Fatal(err)
	}
	a.awaitEvents(3)
	b.awaitEvents(3)
	a.stop()
	b.awaitEvents(5)
	for _, h := range []*host{a, b} {
		peer := b
		if h == b {
			peer = a
		}
		ike := fmt.Sprintf("\nLOCAL_ADDR=%v\nLOCAL_PORT=%d\nREMOTE_ADDR=%v\nREMOTE_PORT=%d", h.addr, h.port, peer.addr, peer.port)
		child := fmt.Sprintf("\nLOCAL_ADDR=%[1]v\nREMOTE_ADDR=%[2]v\nSELECTOR_INDEX=out\nIPSEC_MODE=transport\nLOCAL_NET_ADDR=%[1]v\nLOCAL_NET_PREFIXLEN=32\nLOCAL_NET_PORT=0\n"+
			"REMOTE_NET_ADDR=%[2]v\nREMOTE_NET_PREFIXLEN=32\nREMOTE_NET_PORT=0\nUPPER_LAYER_PROTOCOL=any\nINTERNAL_ADDR4=\nINTERNAL_DNS4=\nINTERNAL_WINS4=\nINTERNAL_DHCP4=\n"+
			"INTERNAL_ADDR6=\nINTERNAL_DNS6=\nINTERNAL_DHCP6=\nAPPLICATION_VERSION=", h.addr, peer.addr)
		want := []string{"phase1_up" + ike, "phase2_up" + child, "phase2_rekey" + child, "phase2_down" + child, "phase1_down" + ike}
		if got := h.events(); !slices.Equal(got, want) {
			t.Errorf("%v runs\n%s\nwant\n%s", h.addr, strings.Join(got, "\n\n"), strings.Join(want, "\n\n"))
		}
	}
}
