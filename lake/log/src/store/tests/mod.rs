//! Tests of the store: on memory, on a directory, on fakes that misbehave, and over HTTP against a scripted server.
