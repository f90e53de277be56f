package pump

import (
	"testing"

	"racoon2/kernel"
)

func TestResultsInOrder(t *testing.T) {
	p := New(func(r kernel.Request) kernel.Result {
		return kernel.Result{Request: r, SPI: kernel.SPI(r.Owner.Serial)}
	})
	const n = 10000
	for i := range n {
		p.Submit(kernel.Request{Owner: kernel.Owner{Serial: uint64(i)}})
	}
	for i := range n {
		if r := <-p.Results(); r.SPI != kernel.SPI(i) {
			t.Fatalf("result %d is of request %d", i, r.SPI)
		}
	}
	p.Close()
	p.Close()
	if _, open := <-p.Results(); open {
		t.Error("results are open after Close")
	}
	if _, open := <-p.Events(); open {
		t.Error("events are open after Close")
	}
	p.Submit(kernel.Request{})
	p.Emit(kernel.Resync{})
}

func TestSlowReaderGetsResync(t *testing.T) {
	p := New(nil)
	defer p.Close()
	for i := range 10 * eventLimit {
		p.Emit(kernel.Expire{ReqID: uint32(i)})
	}
	p.Emit(kernel.Flushed{})
	resyncs, events := 0, 0
	for e := range p.Events() {
		if e == (kernel.Flushed{}) {
			break
		}
		if e == (kernel.Resync{}) {
			resyncs++
			p.Emit(kernel.Flushed{}) // the one above may have given way as well
		}
		events++
	}
	if resyncs == 0 || events > 2*eventLimit {
		t.Errorf("%d events with %d Resync among them", events, resyncs)
	}
}

func TestCloseWithoutReader(t *testing.T) {
	p := New(func(r kernel.Request) kernel.Result { return kernel.Result{Request: r} })
	for range 1000 {
		p.Submit(kernel.Request{})
		p.Emit(kernel.Flushed{})
	}
	p.Close()
}
