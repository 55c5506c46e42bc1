//! The Collections service.

use qdrant_client::qdrant::alias_operations::Action;
use qdrant_client::qdrant::collections_server::Collections;
use qdrant_client::qdrant::{self as api, AliasDescription, CollectionOperationResponse};
use tonic::{Request, Response, Status};

use super::{Service, not_found, status, unimplemented_methods};
use crate::qdrant::backend::Backend;
use crate::qdrant::collection::Layout;
use crate::qdrant::grpc::messages;

fn done() -> Result<Response<CollectionOperationResponse>, Status> {
    Ok(Response::new(CollectionOperationResponse {
        result: true,
        time: 0.0,
    }))
}

#[tonic::async_trait]
impl Collections for Service {
    async fn get(
        &self,
        request: Request<api::GetCollectionInfoRequest>,
    ) -> Result<Response<api::GetCollectionInfoResponse>, Status> {
        self.admit("collection_info", &request)?;
        let name = request.into_inner().collection_name;
        let found = self
            .store
            .describe(&name)
            .await
            .map_err(status)?
            .ok_or_else(|| not_found(&name))?;
        let params = api::CollectionParams {
            vectors_config: Some(messages::vectors_config_to_api(&found.layout.vectors)),
            shard_number: 1,
            ..Default::default()
        };
        let config = api::CollectionConfig {
            params: Some(params),
            metadata: messages::payload_to_api(found.layout.metadata),
            ..Default::default()
        };
        let info = api::CollectionInfo {
            status: api::CollectionStatus::Green.into(),
            config: Some(config),
            points_count: Some(found.points),
            ..Default::default()
        };
        Ok(Response::new(api::GetCollectionInfoResponse {
            result: Some(info),
            time: 0.0,
        }))
    }

    async fn list(
        &self,
        request: Request<api::ListCollectionsRequest>,
    ) -> Result<Response<api::ListCollectionsResponse>, Status> {
        self.admit("list_collections", &request)?;
        let names = self.store.collections().into_iter();
        let collections = names.map(|name| api::CollectionDescription { name }).collect();
        Ok(Response::new(api::ListCollectionsResponse { collections, time: 0.0 }))
    }

    async fn create(
        &self,
        request: Request<api::CreateCollection>,
    ) -> Result<Response<CollectionOperationResponse>, Status> {
        self.admit("create_collection", &request)?;
        let request = request.into_inner();
        let name = request.collection_name;
        if self.store.describe(&name).await.map_err(status)?.is_some() {
            return Err(Status::already_exists(format!(
                "Wrong input: Collection `{name}` already exists!"
            )));
        }
        let vectors = messages::vectors_config_from_api(request.vectors_config).map_err(Status::invalid_argument)?;
        let layout = Layout {
            vectors,
            metadata: messages::payload_from_api(request.metadata),
        };
        self.store.create(&name, &layout).await.map_err(status)?;
        done()
    }

    async fn update_aliases(
        &self,
        request: Request<api::ChangeAliases>,
    ) -> Result<Response<CollectionOperationResponse>, Status> {
        self.admit("create_alias", &request)?;
        for action in request.into_inner().actions {
            match action.action {
                Some(Action::CreateAlias(create)) => {
                    self.store
                        .create_alias(&create.alias_name, &create.collection_name)
                        .await
                        .map_err(status)?;
                }
                Some(Action::RenameAlias(_) | Action::DeleteAlias(_)) | None => {
                    return Err(Status::unimplemented("the test server only makes aliases"));
                }
            }
        }
        done()
    }

    async fn list_aliases(
        &self,
        request: Request<api::ListAliasesRequest>,
    ) -> Result<Response<api::ListAliasesResponse>, Status> {
        self.admit("list_aliases", &request)?;
        let aliases = self.store.aliases().into_iter();
        let aliases = aliases
            .map(|(alias_name, collection_name)| AliasDescription {
                alias_name,
                collection_name,
            })
            .collect();
        Ok(Response::new(api::ListAliasesResponse { aliases, time: 0.0 }))
    }

    async fn collection_exists(
        &self,
        request: Request<api::CollectionExistsRequest>,
    ) -> Result<Response<api::CollectionExistsResponse>, Status> {
        self.admit("collection_exists", &request)?;
        let exists = self
            .store
            .describe(&request.get_ref().collection_name)
            .await
            .map_err(status)?
            .is_some();
        let result = Some(api::CollectionExists { exists });
        Ok(Response::new(api::CollectionExistsResponse { result, time: 0.0 }))
    }

    unimplemented_methods! {
        update(api::UpdateCollection) -> CollectionOperationResponse;
        delete(api::DeleteCollection) -> CollectionOperationResponse;
        list_collection_aliases(api::ListCollectionAliasesRequest) -> api::ListAliasesResponse;
        collection_cluster_info(api::CollectionClusterInfoRequest) -> api::CollectionClusterInfoResponse;
        update_collection_cluster_setup(api::UpdateCollectionClusterSetupRequest)
            -> api::UpdateCollectionClusterSetupResponse;
        create_shard_key(api::CreateShardKeyRequest) -> api::CreateShardKeyResponse;
        delete_shard_key(api::DeleteShardKeyRequest) -> api::DeleteShardKeyResponse;
        list_shard_keys(api::ListShardKeysRequest) -> api::ListShardKeysResponse;
    }
}
