package agent

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// jobsSize bounds the jobs that wait for a worker. A driver whose job finds no
// room keeps it in its outbox, and takes no more datagrams when that is full.
const jobsSize = 256

// pool is a fixed number of workers for what takes long: key exchanges,
// signatures, files.
type pool struct {
	queue chan func()
	wg    sync.WaitGroup
}

// newPool starts the workers; they end with the context.
func newPool(ctx context.Context, workers int) *pool { return newPoolOf(ctx, workers, jobsSize) }

// newPoolOf is one where so many jobs may wait.
func newPoolOf(ctx context.Context, workers, size int) *pool {
	p := &pool{queue: make(chan func(), size)}
	for range workers {
		p.wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case job := <-p.queue:
					job()
				}
			}
		})
	}
	return p
}

// wait returns when all workers have ended.
func (p *pool) wait() { p.wg.Wait() }

// runJob runs a job's work. A panic in it becomes its error: a job touches
// nothing of its owner's, so the owner can go on.
func runJob(name string, run func() (any, error), panicked func(name string, value any, stack []byte)) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("job %s failed inside", name)
			if panicked != nil {
				panicked(name, p, debug.Stack())
			}
		}
	}()
	return run()
}
