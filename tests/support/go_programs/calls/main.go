// For each line "SIZE COUNT" on stdin: writes and reads that many bytes so often over TLS in memory, and prints the
// nanoseconds of a Write and of a Read: medians, then means.
package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"sync"
	"time"
)

// half is one direction of a connection in memory; a read waits for bytes.
type half struct {
	mutex sync.Mutex
	ready *sync.Cond
	bytes bytes.Buffer
}

func newHalf() *half {
	made := &half{}
	made.ready = sync.NewCond(&made.mutex)
	return made
}

type end struct {
	net.Conn // never called: crypto/tls needs no more than the methods below
	in, out  *half
}

func (e *end) Read(into []byte) (int, error) {
	e.in.mutex.Lock()
	defer e.in.mutex.Unlock()
	for e.in.bytes.Len() == 0 {
		e.in.ready.Wait()
	}
	return e.in.bytes.Read(into)
}

func (e *end) Write(from []byte) (int, error) {
	e.out.mutex.Lock()
	defer e.out.mutex.Unlock()
	count, err := e.out.bytes.Write(from)
	e.out.ready.Signal()
	return count, err
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func middle(times []time.Duration) (median, mean int64) {
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	var sum int64
	for _, one := range times {
		sum += one.Nanoseconds()
	}
	return times[len(times)/2].Nanoseconds(), sum / int64(len(times))
}

func main() {
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	check(err)
	there, back := newHalf(), newHalf()
	client := tls.Client(&end{in: back, out: there}, &tls.Config{InsecureSkipVerify: true})
	server := tls.Server(&end{in: there, out: back}, &tls.Config{Certificates: []tls.Certificate{certificate}})
	done := make(chan error)
	go func() { done <- server.Handshake() }()
	check(client.Handshake())
	check(<-done)
	for {
		var size, count int
		if _, err := fmt.Scan(&size, &count); err != nil {
			return
		}
		from, into := make([]byte, size), make([]byte, size)
		writes, reads := make([]time.Duration, count), make([]time.Duration, count)
		for i := range writes {
			start := time.Now()
			_, err := client.Write(from)
			between := time.Now()
			check(err)
			_, err = io.ReadFull(server, into)
			reads[i] = time.Since(between)
			check(err)
			writes[i] = between.Sub(start)
		}
		write, writeMean := middle(writes)
		read, readMean := middle(reads)
		fmt.Println(write, read, writeMean, readMean)
	}
}
