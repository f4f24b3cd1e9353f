// A client and a server with Go's own TLS, as Go programs use it; the roots it trusts are those of SSL_CERT_FILE.
//
// usage: main requests JOBS CONNECTIONS            sends the jobs of a JSON-lines file with net/http
//
//	main writes CONNECTIONS                   one Write for each call that a JSON-lines file lists
//	main serve ADDRESS CERTIFICATE KEY TEXT   answers one request with what a file holds, and ends
//	main hard PLAN                            the plan of hard_client.py, a goroutine for each connection
//	main idle                                 runs until its standard input ends
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const filler = "Borgeren har skrevet et brev, og vi svarer snart.\n"

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

type job struct {
	URL     string            `json:"url"`
	Method  string            `json:"method"`
	Headers map[string]string `json:"headers"`
	Body    *string           `json:"body"`
}

type call struct {
	Fill int    `json:"fill"`
	Text string `json:"text"`
}

type connection struct {
	To      string `json:"to"`
	Host    string `json:"tls_host"`
	Version string `json:"tls_version"`
	Cipher  string `json:"ciphers"`
	Writes  []call `json:"writes"`
}

func main() {
	var err error
	switch os.Args[1] {
	case "requests":
		err = requests(os.Args[2], os.Args[3])
	case "writes":
		err = writes(os.Args[2])
	case "hard":
		err = hard(os.Args[2])
	case "serve":
		err = serve(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	case "idle":
		_, err = io.Copy(io.Discard, os.Stdin)
	default:
		err = fmt.Errorf("unknown: %s", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func lines[T any](file string) ([]T, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []T
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// each runs `do` for 0 to count-1 at once, and returns one of the errors.
func each(count int, do func(int) error) error {
	errors := make(chan error, count)
	for index := 0; index < count; index++ {
		go func(index int) { errors <- do(index) }(index)
	}
	var failed error
	for index := 0; index < count; index++ {
		if err := <-errors; err != nil {
			failed = err
		}
	}
	return failed
}

func requests(file, connections string) error {
	jobs, err := lines[job](file)
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(connections)
	if err != nil {
		return err
	}
	return each(count, func(index int) error {
		// A transport of its own, so that each worker has its own connections.
		client := http.Client{Transport: &http.Transport{}}
		for at := index; at < len(jobs); at += count {
			if err := send(&client, jobs[at]); err != nil {
				return err
			}
		}
		return nil
	})
}

func send(client *http.Client, job job) error {
	var body io.Reader
	if job.Body != nil {
		body = strings.NewReader(*job.Body)
	}
	request, err := http.NewRequest(job.Method, job.URL, body)
	if err != nil {
		return err
	}
	for name, value := range job.Headers {
		request.Header.Set(name, value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s", answer.Status)
	}
	return nil
}

// All connections are open before the first write.
func writes(file string) error {
	connections, err := lines[connection](file)
	if err != nil {
		return err
	}
	var connected sync.WaitGroup
	connected.Add(len(connections))
	return each(len(connections), func(index int) error {
		conn := connections[index]
		version := versions[conn.Version]
		config := tls.Config{ServerName: conn.Host, MinVersion: version, MaxVersion: version}
		for _, cipher := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			if cipher.Name == conn.Cipher {
				config.CipherSuites = []uint16{cipher.ID}
			}
		}
		stream, err := tls.Dial("tcp", conn.To, &config)
		connected.Done()
		if err != nil {
			return err
		}
		defer stream.Close()
		connected.Wait()
		for _, call := range conn.Writes {
			fill := strings.Repeat(filler, call.Fill/len(filler)+1)[:call.Fill]
			if _, err := io.WriteString(stream, fill+call.Text); err != nil {
				return err
			}
		}
		// Ends our direction and waits for the peer's end: then all has been read.
		if err := stream.CloseWrite(); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, stream)
		return err
	})
}

type recipient struct {
	IP      string `json:"ip"`
	Host    string `json:"host"`
	Version string `json:"version"`
}

type plan struct {
	Recipients []recipient `json:"recipients"`
	Kinds      []string    `json:"kinds"`
	Rounds     int         `json:"rounds"`
	Requests   int         `json:"requests"`
	Numbers    []string    `json:"numbers"`
}

// barrier lets all go on when the last has come.
type barrier struct {
	sync.Mutex
	count, waiting int
	open           chan struct{}
}

func (it *barrier) wait() {
	it.Lock()
	open := it.open
	if it.waiting++; it.waiting == it.count {
		it.waiting, it.open = 0, make(chan struct{})
		close(open)
	}
	it.Unlock()
	<-open
}

// In each round every connection is made anew, to another address, and all write as much at one moment.
func hard(file string) error {
	plans, err := lines[plan](file)
	if err != nil {
		return err
	}
	plan, all := plans[0], barrier{count: len(plans[0].Kinds), open: make(chan struct{})}
	return each(len(plan.Kinds), func(connection int) error {
		for round := 0; round < plan.Rounds; round++ {
			to := plan.Recipients[(connection+7*round)%len(plan.Recipients)]
			version := versions[to.Version]
			config := tls.Config{ServerName: to.Host, MinVersion: version, MaxVersion: version}
			stream, err := tls.Dial("tcp", net.JoinHostPort(to.IP, "443"), &config)
			if err != nil {
				return err
			}
			for request := 0; request < plan.Requests; request++ {
				number := plan.Numbers[(round*len(plan.Kinds)+connection)*plan.Requests+request]
				text := fmt.Sprintf("GET /sag?cpr=%s-%s HTTP/1.1\r\nHost: %s\r\n\r\n", number[:6], number[6:], to.Host)
				all.wait()
				if _, err := io.WriteString(stream, text); err != nil {
					return err
				}
				if err := answered(stream); err != nil {
					return err
				}
			}
			stream.Close()
		}
		return nil
	})
}

func answered(stream io.Reader) error {
	room, answer := make([]byte, 4096), []byte{}
	for !bytes.HasSuffix(answer, []byte("ok\n")) {
		count, err := stream.Read(room)
		if err != nil {
			return err
		}
		answer = append(answer, room[:count]...)
	}
	return nil
}

func serve(address, certificate, key, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	asked := make(chan struct{})
	var once sync.Once
	server := http.Server{Handler: http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		answer.Write(text)
		once.Do(func() { close(asked) })
	})}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, certificate, key) }()
	select {
	case err := <-failed:
		return err
	case <-asked:
	}
	patience, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return server.Shutdown(patience)
}
