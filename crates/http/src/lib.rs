//! HTTP as Mesos speaks it: serving, routing, content negotiation, RecordIO streams.
