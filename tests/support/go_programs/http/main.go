// net/http over TLS: HTTP/2 where both ends may.
//
//	http server ADDRESS CERTIFICATE KEY    answers each request with its body, reversed
//	http client URL SIZE [TLS [HTTP]]      posts that many bytes and prints protocol and size of the answer
//
// TLS: 1.2 for that version and no later one. HTTP: 1.1 for that version.
package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io/ioutil"
	"net/http"
	"os"
	"strconv"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(writer http.ResponseWriter, request *http.Request) {
	body, err := ioutil.ReadAll(request.Body)
	check(err)
	for i, j := 0, len(body)-1; i < j; i, j = i+1, j-1 {
		body[i], body[j] = body[j], body[i]
	}
	writer.Header().Set("Content-Type", "application/octet-stream")
	_, err = writer.Write(body)
	check(err)
}

func main() {
	if os.Args[1] == "server" {
		http.HandleFunc("/", answer)
		check(http.ListenAndServeTLS(os.Args[2], os.Args[3], os.Args[4], nil))
	}
	size, err := strconv.Atoi(os.Args[3])
	check(err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	if len(os.Args) > 4 && os.Args[4] == "1.2" {
		transport.TLSClientConfig.MaxVersion = tls.VersionTLS12
	}
	if len(os.Args) > 5 && os.Args[5] == "1.1" {
		transport.ForceAttemptHTTP2 = false
	}
	client := &http.Client{Transport: transport}
	body := bytes.Repeat([]byte("0123456789"), size/10)
	response, err := client.Post(os.Args[2], "application/octet-stream", bytes.NewReader(body))
	check(err)
	got, err := ioutil.ReadAll(response.Body)
	check(err)
	fmt.Println(response.Proto, len(got))
}
