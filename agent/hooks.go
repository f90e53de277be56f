package agent

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"racoon2/config"
	"racoon2/kernel/trace"
)

// The bounds of hooks, the programs that directive script names.
const (
	maxHooksRunning = 8                // at once
	maxHooksWaiting = 1024             // further ones are lost, counted and said
	maxHooksOfPeer  = 256              // of them, so that a peer leaves room for others
	hookTime        = 30 * time.Second // after it a hook is killed with its process group
	hookEndTime     = 5 * time.Second  // for those of an orderly end
)

// scriptKey is whose script a hook is.
type scriptKey struct {
	remote string
	kmp    config.KMP
}

// scripts are the paths of a configuration's hooks.
type scripts map[scriptKey]map[config.Event]string

// hook is one event for which a program runs.
type hook struct {
	remote string
	peer   string // of the remote; the hooks of one peer run one after another
	path   string
	event  config.Event
	env    []string // all of its environment
}

// hooks runs programs beside the cores, which never wait for one.
type hooks struct {
	run  func(context.Context, hook) // one program, to its end
	lost func(hook)                  // one that there is no room for

	ctx    context.Context // its end kills what runs
	cancel context.CancelFunc

	mu      sync.Mutex
	waiting map[[2]string][]hook // by remote and peer; the key stands while one of its runs
	ready   [][2]string          // keys with something to run and nothing running
	count   int                  // of hooks in waiting
	running int
	closed  bool
	idle    *sync.Cond // mu; nothing waits or runs
}

func newHooks(run func(context.Context, hook), lost func(hook)) *hooks {
	h := &hooks{run: run, lost: lost, waiting: make(map[[2]string][]hook)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.idle = sync.NewCond(&h.mu)
	return h
}

// add queues a hook. It never waits.
func (h *hooks) add(one hook) {
	h.mu.Lock()
	key := [2]string{one.remote, one.peer}
	list, busy := h.waiting[key]
	if h.closed || h.count >= maxHooksWaiting || len(list) >= maxHooksOfPeer {
		h.mu.Unlock()
		h.lost(one)
		return
	}
	defer h.mu.Unlock()
	h.waiting[key] = append(list, one)
	h.count++
	if !busy {
		h.ready = append(h.ready, key)
		h.start()
	}
}

// start begins what may run; mu is held.
func (h *hooks) start() {
	for h.running < maxHooksRunning && len(h.ready) > 0 {
		key := h.ready[0]
		h.ready = h.ready[1:]
		list := h.waiting[key]
		one := list[0]
		h.waiting[key] = list[1:]
		h.count--
		h.running++
		go h.finish(key, one)
	}
}

// finish runs a hook and makes room for the next.
func (h *hooks) finish(key [2]string, one hook) {
	ctx, cancel := context.WithTimeout(h.ctx, hookTime)
	h.run(ctx, one)
	cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running--
	if len(h.waiting[key]) > 0 {
		h.ready = append(h.ready, key)
	} else {
		delete(h.waiting, key)
	}
	h.start()
	if h.running == 0 && h.count == 0 {
		h.idle.Broadcast()
	}
}

// end runs what waits, as far as the context and the time allow, kills the rest
// and returns when no hook runs any more.
func (h *hooks) end(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	stop := context.AfterFunc(ctx, h.abandon)
	defer stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.running > 0 || h.count > 0 {
		h.idle.Wait()
	}
	h.closed = true
}

// abandon forgets what waits and kills what runs.
func (h *hooks) abandon() {
	h.mu.Lock()
	var left []hook
	for key, list := range h.waiting {
		left = append(left, list...)
		h.waiting[key] = nil
	}
	h.count, h.ready, h.closed = 0, nil, true
	h.cancel()
	if h.running == 0 {
		h.idle.Broadcast()
	}
	h.mu.Unlock()
	for _, one := range left {
		h.lost(one)
	}
}

// startHooks makes the queue of hooks.
func (a *Agent) startHooks() {
	run := execHook{
		say: func(h hook, tag trace.Tag, reason, text string, attrs ...trace.Attr) {
			a.trace("agent", trace.Event{Tag: tag, Reason: reason, Text: text, Attrs: slices.Concat(h.attrs(), attrs)})
		},
	}
	a.hooks = newHooks(run.run, func(h hook) {
		a.trace("agent", trace.Event{Tag: trace.InternalErr, Reason: reasonHookLost, Text: "a script is not run: too many wait, or the agent ends", Attrs: h.attrs()})
	})
	a.undo = append(a.undo, a.hooks.abandon)
}

// hook queues the program of a remote for an event, if there is one. env is
// asked for then. It never waits, so that drivers can call it.
func (a *Agent) hook(kmp config.KMP, remote, peer string, event config.Event, env func() []string) {
	path := a.plan.Load().scripts[scriptKey{remote, kmp}][event]
	if path == "" {
		return
	}
	a.hooks.add(hook{remote: remote, peer: peer, path: path, event: event, env: env()})
}

// attrs names the hook in a trace event.
func (h hook) attrs() []trace.Attr {
	return []trace.Attr{{Key: "remote", Value: h.remote}, {Key: "event", Value: h.event.String()}, {Key: "script", Value: h.path}}
}

// scriptsOf are the hooks of a configuration.
func scriptsOf(cfg *config.Config) scripts {
	out := make(scripts)
	for _, r := range remotes(cfg) {
		if r.Disabled {
			continue
		}
		if r.IKEv2 != nil && len(r.IKEv2.Scripts) > 0 {
			out[scriptKey{r.Name, config.KMPIKEv2}] = r.IKEv2.Scripts
		}
		if r.KINK != nil && len(r.KINK.Scripts) > 0 {
			out[scriptKey{r.Name, config.KMPKINK}] = r.KINK.Scripts
		}
	}
	return out
}

// scripts checks the files of a remote's hooks.
func (c *compiler) scripts(k *config.Common) {
	for event := config.EventPhase1Up; event <= config.EventMigration; event++ {
		path := k.Scripts[event]
		if path == "" {
			continue
		}
		if err := checkScript(path); err != nil {
			c.find(config.Error, k.ScriptsPos, "script", fmt.Sprintf("see: ls -lL %s", path), "the script of %v, %s, is not run: %v", event, path, err)
		}
	}
}
