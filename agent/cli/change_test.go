package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"racoon2/policy/spmif"
)

// TestChangeCommands runs the commands that change a running agent.
func TestChangeCommands(t *testing.T) {
	conf := startAgent(t)
	for _, test := range []struct {
		args   string
		status int
		stdout string
		stderr string
	}{
		{"sa list", 0, "", "no SAs"},
		{"policy add tokyo_out 3600 transport 127.0.0.1 127.0.0.9", 0, "Policy Added tokyo_out and tokyo_in", ""},
		{"policy list", 0, "127.0.0.9/32", ""},
		{"policy add tokyo_out 0 transport 127.0.0.1 127.0.0.8/32 --json", 0, `"done": "Policy Added`, ""},
		{"policy delete tokyo_out 127.0.0.1 127.0.0.9", 0, "deleted", ""},
		{"policy delete tokyo_out", 0, "deleted", ""},
		{"policy delete tokyo_out", 1, "", "there is no such dynamic policy"},
		{"policy delete tokyo_out 127.0.0.1", 2, "", "takes 1 or 3 words, not 2"},
		{"policy delete tokyo_out 127.0.0.1 x", 2, "", `"x"`},
		{"policy add tokyo_out 1 transport", 2, "", "takes 5 or 7 words, not 3"},
		{"policy add tokyo_out 1 both 127.0.0.1 127.0.0.9", 2, "", "neither transport nor tunnel"},
		{"policy add tokyo_out x transport 127.0.0.1 127.0.0.9", 2, "", "no number of seconds"},
		{"policy add tokyo_out 1 tunnel 127.0.0.1 127.0.0.9 127.0.0.1 x", 2, "", `"x"`},
		{"policy add none 1 tunnel 127.0.0.1 127.0.0.9 127.0.0.1 127.0.0.2", 1, "", "there is no such selector"},
		{"up tokyo_out", 0, "tokyo_out is asked for", ""},
		{"up none", 1, "", "racoon2: a selector none with auto_ipsec does not exist"},
		{"down none", 1, "", "does not exist"},
		{"sa show none", 1, "", "does not exist"},
		{"sa delete 1", 1, "", "does not exist"},
		{"sa rekey 0x1", 1, "", "does not exist"},
		{"sa rekey xyz", 2, "", "is no SPI"},
		{"fqdn list", 0, "", "none"},
		{"fqdn list --json", 0, "[]", ""},
		{"fqdn query 127.0.0.1", 0, "", ""},
		{"fqdn query host", 2, "", `"host"`},
		{"fqdn add www.example.com", 1, "", "the resolver is off"},
		{"fqdn delete www.example.com", 1, "", "the resolver is off"},
		{"fqdn", 2, "", "needs a further word"},
		{"ns list", 0, "", ""},
		{"ns add 192.0.2.53", 1, "", "resolver off?"},
		{"ns delete 192.0.2.53", 1, "", "resolver off?"},
		{"ns change 192.0.2.53", 1, "", "resolver off?"},
		{"policy add tokyo_out 1 transport 127.0.0.1/x 127.0.0.9", 2, "", "no IP network"},
		{"ns change host", 2, "", `"host"`},
	} {
		status, stdout, stderr := run(append(strings.Fields(test.args), "-c", conf)...)
		if status != test.status || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) {
			t.Errorf("%s: status %d, stdout %q, stderr %q; want %d, %q, %q", test.args, status, stdout, stderr, test.status, test.stdout, test.stderr)
		}
	}
}

// TestWatchCommand has a watcher see what another command does.
func TestWatchCommand(t *testing.T) {
	conf := startAgent(t)
	type result struct {
		status         int
		stdout, stderr string
	}
	seen := make(chan result, 1)
	go func() {
		status, stdout, stderr := run("watch", "--json", "--count", "1", "-c", conf)
		seen <- result{status, stdout, stderr}
	}()
	for deadline := time.After(10 * time.Second); ; {
		run("policy", "add", "tokyo_out", "60", "transport", "127.0.0.1", "127.0.0.9", "-c", conf)
		run("policy", "delete", "tokyo_out", "-c", conf)
		select {
		case r := <-seen:
			var e spmif.Event
			if err := json.Unmarshal([]byte(r.stdout), &e); err != nil || r.status != 0 || e.Area == "" {
				t.Errorf("%+v, %v", r, err)
			}
			return
		case <-deadline:
			t.Fatal("nothing is seen")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestEventText(t *testing.T) {
	got := eventText(spmif.Event{Area: "policy", Tag: "info", Text: "evil\x1b[2J\nname"})
	if !strings.HasSuffix(got, "policy info: evil?[2J?name\n") {
		t.Errorf("%q", got)
	}
}
