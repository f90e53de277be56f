package agent

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// hurryTime is what is left to an orderly end after a second signal.
const hurryTime = 500 * time.Millisecond

// Run starts the agent and serves until a signal ends it. SIGTERM and SIGINT
// end it in order, a second one makes it hurry; SIGHUP reads the configuration
// again and opens the log file again; SIGUSR1 logs more, SIGUSR2 less. It changes
// the process: privileges and core dumps are given up, and do not come back.
func Run(o Options) error {
	if err := hardenEarly(o.CoreDumps); err != nil {
		o.Log.Logger(areaAgent).Warn("core dumps could not be turned off: one would hold keys", "error", err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	a, err := Start(o)
	if err != nil {
		return err
	}
	a.harden()
	for {
		select {
		case err := <-a.Failed():
			a.Abandon()
			return err
		case s := <-signals:
			if a.signalled(s) {
				a.Shutdown(hurried(signals))
				return nil
			}
		}
	}
}

// signalled does what a signal asks for. It reports whether the agent is to end.
func (a *Agent) signalled(s os.Signal) (end bool) {
	switch s {
	case syscall.SIGHUP:
		if err := a.log.Reopen(); err != nil {
			a.main.Error("the log goes on where it was", "error", err)
		}
		_ = a.Reload(a.ctx) // it has said why not
	case syscall.SIGUSR1:
		a.main.Info("log level changed", "lowest", a.log.Louder())
	case syscall.SIGUSR2:
		a.main.Info("log level changed", "lowest", a.log.Quieter())
	default:
		return true
	}
	return false
}

// hurried is a context that ends soon after a further signal to end.
func hurried(signals <-chan os.Signal) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM || s == syscall.SIGINT {
				time.Sleep(hurryTime)
				cancel()
				return
			}
		}
	}()
	return ctx
}
