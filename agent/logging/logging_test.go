package logging

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/kernel/trace"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, o Options) (*Log, func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	o.Destination = path
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, func() string { return content(t, l, path) }
}

func TestText(t *testing.T) {
	l, read := open(t, Options{Level: trace.Info})
	l.Trace("ikev2", trace.Event{
		Tag: trace.ProtoErr, Reason: "no_proposal_chosen", Text: "no proposal fits",
		Attrs: []trace.Attr{{Key: "peer", Value: "10.0.0.2"}, {Key: "offered", Value: "MODP_1024 only"}},
	})
	l.Trace("ikev2", trace.Event{Tag: trace.Debug, Text: "not shown"})
	l.Logger("agent").Warn("low on memory", "free", 12)
	l.Logger("agent").With("a", "b").WithGroup("g").Info("grouped", "k", "")
	l.Logger("agent").Log(t.Context(), LevelCritical, "over")
	want := `2026-11-23 12:00:00 [PROTO_ERR]: ikev2: no proposal fits reason=no_proposal_chosen peer=10.0.0.2 offered="MODP_1024 only"
[INTERNAL_WARN]: agent: low on memory free=12
[INFO]: agent: grouped a=b g.k=""
[CRITICAL]: agent: over
`
	if got := read(); withoutStamps(got) != withoutStamps(want) || !strings.HasPrefix(got, "2026-11-23 12:00:00 [PROTO_ERR]") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// withoutStamps cuts the time off: slog's own records carry the real one.
func withoutStamps(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if at := strings.IndexByte(line, '['); at > 0 {
			lines[i] = line[at:]
		}
	}
	return strings.Join(lines, "\n")
}

func TestNoForgedLines(t *testing.T) {
	l, read := open(t, Options{Level: trace.Info})
	l.Trace("ikev2", trace.Event{
		Tag: trace.Info, Text: "peer\n2026-11-23 12:00:00 [CRITICAL]: x",
		Attrs: []trace.Attr{{Key: "id", Value: "a\x1b[2J\nb\xff"}},
	})
	if got := read(); strings.Count(got, "\n") != 1 || strings.Contains(got, "\x1b") {
		t.Errorf("a peer's text changed the line: %q", got)
	}
}

func TestLongLineIsCut(t *testing.T) {
	l, read := open(t, Options{Level: trace.Info})
	l.Logger("agent").Info(strings.Repeat("ü", maxLine))
	if got := read(); len(got) > maxLine+8 || !strings.HasSuffix(got, "…\n") || strings.ContainsRune(got, 0xfffd) {
		t.Errorf("line of %d octets ends in %q", len(got), got[len(got)-12:])
	}
}

func TestJSON(t *testing.T) {
	l, read := open(t, Options{Level: trace.Debug, Format: JSON})
	l.Trace("policy", trace.Event{Tag: trace.InternalErr, Text: "a \"b\"", Attrs: []trace.Attr{{Key: "where", Value: "x:1"}}})
	l.Logger("agent").Info("n", "n", 3, "u", uint64(4), "b", true)
	var first, second map[string]any
	lines := strings.Split(strings.TrimSpace(read()), "\n")
	for i, into := range []*map[string]any{&first, &second} {
		if err := json.Unmarshal([]byte(lines[i]), into); err != nil {
			t.Fatalf("%v in %s", err, lines[i])
		}
	}
	if first["tag"] != "INTERNAL_ERR" || first["area"] != "policy" || first["msg"] != `a "b"` || first["where"] != "x:1" {
		t.Errorf("first line: %v", first)
	}
	if second["n"] != 3.0 || second["u"] != 4.0 || second["b"] != true {
		t.Errorf("second line: %v", second)
	}
}

func TestLimit(t *testing.T) {
	now := noon
	l, read := open(t, Options{Level: trace.Info, Now: func() time.Time { return now }})
	e := trace.Event{Tag: trace.ProtoWarn, Reason: "unknown_spi", Text: "x"}
	for range burst + 30 {
		l.Trace("ikev2", e)
	}
	l.Trace("ikev2", trace.Event{Tag: trace.ProtoWarn, Reason: "other", Text: "another reason is not held up"})
	if n := strings.Count(read(), "unknown_spi"); n != burst {
		t.Errorf("%d lines at once, want %d", n, burst)
	}
	if !strings.Contains(read(), "another reason") {
		t.Error("a reason held up another")
	}
	now = now.Add(interval)
	l.Trace("ikev2", e)
	l.Trace("ikev2", e)
	if got := read(); !strings.Contains(got, "not_logged=30") || strings.Count(got, "unknown_spi") != burst+1 {
		t.Errorf("after the interval:\n%s", got)
	}
	now = now.Add(time.Hour)
	for range burst + 1 {
		l.Trace("ikev2", e)
	}
	if n := strings.Count(read(), "unknown_spi"); n != 2*burst+1 {
		t.Errorf("%d lines after a quiet hour, want %d", n, 2*burst+1)
	}
}

func TestLimitIsBounded(t *testing.T) {
	l := newLimiter()
	for i := range 3 * maxReasons {
		l.allow(noon, "a", string(rune(i+256)), trace.Info)
	}
	if len(l.buckets) > maxReasons+1 {
		t.Errorf("%d buckets", len(l.buckets))
	}
}

func TestLevels(t *testing.T) {
	l, _ := open(t, Options{Level: trace.Info})
	if l.Debugging() || l.Level() != trace.Info {
		t.Error("level is not info at first")
	}
	if first, second := l.Louder(), l.Louder(); first != trace.Debug || second != trace.Debug || !l.Debugging() {
		t.Error("Louder does not reach debug")
	}
	for _, want := range []trace.Tag{trace.Info, trace.ProtoWarn, trace.ProtoErr, trace.ProtoErr} {
		if got := l.Quieter(); got != want {
			t.Errorf("Quieter gives %v, want %v", got, want)
		}
	}
	for tag := trace.Debug; tag <= trace.Critical; tag++ {
		if got := tagOf(levelOf(tag)); got != tag {
			t.Errorf("tag %v comes back as %v", tag, got)
		}
	}
	if levelOf(99) != slog.LevelInfo {
		t.Error("an unknown tag is not info")
	}
	for name, want := range map[string]trace.Tag{"debug": trace.Debug, "": trace.Info, "WARN": trace.ProtoWarn, "error": trace.ProtoErr, "crit": trace.Critical} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("ParseLevel(%q) = %v, %v", name, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("level loud was taken")
	}
}

func TestPacket(t *testing.T) {
	l, read := open(t, Options{Level: trace.Info})
	local, remote := netip.MustParseAddrPort("10.0.0.1:500"), netip.MustParseAddrPort("10.0.0.2:500")
	l.Packet("agent", "received", local, remote, []byte{1, 2, 0xab})
	if read() != "" {
		t.Error("dumped at level info")
	}
	l.SetLevel(trace.Debug)
	l.Packet("agent", "received", local, remote, []byte{1, 2, 0xab})
	l.Packet("agent", "received", local, remote, make([]byte, maxDump+1))
	if got := read(); !strings.Contains(got, "hex=0102ab") || !strings.Contains(got, "cut_at=2048") {
		t.Errorf("dump: %s", got)
	}
}

func TestReopenAndSwitch(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	l, err := Open(Options{Level: trace.Info, Destination: first})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	log := l.Logger("agent")
	log.Info("one")
	if err := os.Rename(first, first+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	log.Info("two")
	if err := l.SetDestination(second); err != nil {
		t.Fatal(err)
	}
	log.Info("three")
	if err := l.SetDestination(filepath.Join(dir, "none", "x")); err == nil {
		t.Error("a folder that does not exist was taken")
	}
	log.Info("four")
	l.Flush(time.Minute)
	for path, want := range map[string][]string{first + ".1": {"one"}, first: {"two"}, second: {"three", "four"}} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(b), "\n") != len(want) {
			t.Errorf("%s holds %q", filepath.Base(path), b)
		}
		for _, w := range want {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s holds %q, want %s", filepath.Base(path), b, w)
			}
		}
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Open(Options{Format: "xml"}); err == nil {
		t.Error("format xml was taken")
	}
	if _, err := Open(Options{Destination: filepath.Join(t.TempDir(), "no", "such")}); err == nil {
		t.Error("a path without its folder was taken")
	}
	l, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestSyslog(t *testing.T) {
	if c, err := net.Dial("unixgram", "/dev/log"); err == nil {
		c.Close()
		l, err := Open(Options{Destination: Syslog})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if !l.stamped() {
			t.Error("syslog stamps its lines")
		}
		return
	}
	if _, err := Open(Options{Destination: Syslog}); err == nil {
		t.Error("syslog opened though no daemon listens")
	}
}
