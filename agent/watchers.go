package agent

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"racoon2/kernel/trace"
	"racoon2/policy/spmif"
)

// watcherSize is how many events wait for one client; more are missed.
const watcherSize = 1024

// watchers hand what the cores say to the clients that watch.
type watchers struct {
	count atomic.Int32 // so that nothing is made where nobody watches
	mu    sync.Mutex
	all   map[*watcher]struct{}
}

// watcher is one client.
type watcher struct {
	events chan spmif.Event
	missed atomic.Uint64
}

// publish never waits.
func (w *watchers) publish(area string, e trace.Event) {
	if w.count.Load() == 0 {
		return
	}
	event := spmif.Event{Time: time.Now().UTC(), Area: area, Tag: e.Tag.String(), Reason: e.Reason, Text: e.Text}
	if len(e.Attrs) > 0 {
		event.Attrs = make(map[string]string, len(e.Attrs))
		for _, a := range e.Attrs {
			event.Attrs[a.Key] = a.Value
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.all {
		select {
		case one.events <- event:
		default:
			one.missed.Add(1)
		}
	}
}

func (w *watchers) add() *watcher {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[*watcher]struct{})
	}
	one := &watcher{events: make(chan spmif.Event, watcherSize)}
	w.all[one] = struct{}{}
	w.count.Add(1)
	return one
}

func (w *watchers) remove(one *watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.all[one]; ok {
		delete(w.all, one)
		w.count.Add(-1)
		close(one.events)
	}
}

// watching is the part of a control session that sends without being asked.
type watching struct {
	session *spmif.Session
	conn    net.Conn
	from    *watchers

	mu   sync.Mutex // guards the session and what is sent
	one  *watcher
	done chan struct{} // closed when nothing more is sent
}

// input gives the session what the client said, and begins or ends the stream.
func (w *watching) input(data []byte) (end bool, err error) {
	w.mu.Lock()
	if w.one != nil {
		w.session.Missed(w.one.missed.Swap(0))
	}
	out, end := w.session.Input(time.Now(), data)
	err = write(w.conn, out)
	wanted := w.session.Watching() && w.from != nil
	w.mu.Unlock()
	switch {
	case err != nil || end:
	case wanted && w.one == nil:
		w.one, w.done = w.from.add(), make(chan struct{})
		go w.send(w.one, w.done)
	case !wanted:
		w.end()
	}
	return end, err
}

// send sends events until the watcher is removed or the client does not read.
func (w *watching) send(one *watcher, done chan<- struct{}) {
	defer close(done)
	for e := range one.events {
		w.mu.Lock()
		err := write(w.conn, w.session.Event(e))
		w.mu.Unlock()
		if err != nil {
			w.conn.Close() // the reader notices, and ends the session
			return
		}
	}
}

// deadline is the session's; the zero time is none.
func (w *watching) deadline() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, _ := w.session.Deadline()
	return at
}

// timeout tells the session that its deadline has passed.
func (w *watching) timeout() (end bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, end := w.session.Timeout(time.Now())
	return end, write(w.conn, out)
}

// end stops the stream and waits for it.
func (w *watching) end() {
	if w.one == nil {
		return
	}
	w.from.remove(w.one)
	<-w.done
	w.one = nil
}
